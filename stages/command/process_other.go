//go:build unix && !linux

package command

import "syscall"

// attributes make a command lead its own process group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

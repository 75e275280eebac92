//go:build !linux

package kernel

import "unsafe"

func advise(unsafe.Pointer, uintptr) {}

package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// largePage is the size of a large page where pages have 4 KiB.
const largePage = 2 << 20

// advise asks for large pages where n bytes from p hold whole ones. That it is not heeded is no
// error: memory is then slower.
func advise(p unsafe.Pointer, n uintptr) {
	lo := (uintptr(p)+largePage-1)&^(largePage-1) - uintptr(p)
	if hi := (uintptr(p)+n)&^(largePage-1) - uintptr(p); lo < hi && hi <= n {
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Add(p, lo)), hi-lo), unix.MADV_HUGEPAGE)
	}
}

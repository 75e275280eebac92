package kernel

import "unsafe"

// Large returns n zeros in memory for reading again and again from end to end: on large pages
// where the system has them. With small ones a processor waits for the tables of pages, and
// asks for what comes next only up to the end of a page; reading takes up to half as long again.
func Large[E float32 | float64 | uint32](n int) []E {
	x := make([]E, n)
	if n > 0 {
		advise(unsafe.Pointer(&x[0]), uintptr(n)*unsafe.Sizeof(x[0]))
	}
	return x
}

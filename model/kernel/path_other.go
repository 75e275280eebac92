//go:build !amd64

package kernel

// vectorPaths lists the paths of this processor: there are none but plain Go.
func vectorPaths() []*path[float32] { return nil }

func bf16Path() *path[float32] { return nil }

package kernel

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// chosen is the path of float32 that this process uses: the fastest that the processor
// has, or the one that PIPELINE_CPU names.
var chosen = sync.OnceValues(func() (*path[float32], error) {
	name := os.Getenv("PIPELINE_CPU")
	all := paths()
	if name == "" {
		return all[0], nil
	}
	var names []string
	for _, p := range all {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return all[0], fmt.Errorf("PIPELINE_CPU is %q; this processor has %s", name, strings.Join(names, ", "))
})

// paths lists what this processor has, the fastest first and plain Go last.
func paths() []*path[float32] { return append(vectorPaths(), plain[float32]()) }

// Path names the instruction set that float32 kernels use: avx512, avx2 or go. The
// environment variable PIPELINE_CPU forces one; the error says that it names none of this
// processor's, in which case the fastest is used. All give the same bits.
func Path() (name string, err error) {
	p, err := chosen()
	return p.name, err
}

func fastest[T Float]() *path[T] {
	p, _ := chosen()
	if q, ok := any(p).(*path[T]); ok {
		return q
	}
	return plain[T]()
}

// Paths names the paths that this processor has, bf16 products included, the fastest
// first.
func Paths() (names []string) {
	if HasBF16() {
		names = append(names, bf16Path().name)
	}
	for _, p := range paths() {
		names = append(names, p.name)
	}
	return names
}

// NewCPUOn is NewCPU on a path that is named, whatever the process uses.
func NewCPUOn(name string, threads int) (*CPU[float32], error) {
	c := NewCPU[float32](threads)
	if name == "avx512bf16" {
		return c, c.UseBF16()
	}
	for _, p := range paths() {
		if p.name == name {
			c.path = p
			return c, nil
		}
	}
	return nil, fmt.Errorf("no kernels %q here; this processor has %s", name, strings.Join(Paths(), ", "))
}

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

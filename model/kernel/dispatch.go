package kernel

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// chosen is what this process uses: the fastest path of float32 that the processor has, or the
// one that PIPELINE_CPU names, and whether it multiplies in bfloat16 by the processor's own
// instruction where bfloat16 is asked for.
var chosen = sync.OnceValues(func() (choice, error) { return choose(os.Getenv("PIPELINE_CPU")) })

type choice struct {
	path   *path[float32]
	native bool
}

func choose(name string) (choice, error) {
	all := paths()
	fastest := choice{all[0], HasBF16()}
	if name == "" || name == nativeBF16 && fastest.native {
		return fastest, nil
	}
	for _, p := range all {
		if p.name == name {
			return choice{p, false}, nil
		}
	}
	return fastest, fmt.Errorf("PIPELINE_CPU is %q; this processor has %s", name, strings.Join(Paths(), ", "))
}

// paths lists what this processor has, the fastest first and plain Go last.
func paths() []*path[float32] { return append(vectorPaths(), plain[float32]()) }

// Path names the instruction set that kernels use: avx512bf16, avx512, avx2 or go. The
// environment variable PIPELINE_CPU forces one; the error says that it names none of this
// processor's, in which case the fastest is used. In float32 all give the same bits, and
// avx512bf16 is avx512. For products in bfloat16 see ClassBF16.
func Path() (name string, err error) {
	c, err := chosen()
	if c.native {
		return nativeBF16, err
	}
	return c.path.name, err
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

// NewCPUOn is NewCPU on a path that is named, whatever the process uses. On avx512bf16 products
// are in bfloat16.
func NewCPUOn(name string, threads int) (*CPU[float32], error) {
	c := NewCPU[float32](threads)
	if c.native = name == nativeBF16 && HasBF16(); c.native {
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

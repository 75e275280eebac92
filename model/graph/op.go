// Package graph makes training a gorgonia graph of few, large operations, each with a
// backward of ours: the embedding, the blocks, the head with its loss. gorgonia composes
// their gradients and runs the tape, so that a tied head, a frozen part or a new block
// is an edit of the graph and no plumbing of gradients is written twice.
package graph

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/ptbr-slm/pipeline/model/kernel"
)

// fused is an operation over whole slices with its backward. Values have 0, 1 or 2
// dimensions; a scalar is a slice of one.
type fused[T kernel.Float] struct {
	name    string
	in      []int        // dimensions of each input
	out     tensor.Shape // of the result
	forward func(out []T, in [][]T)
	// backward overwrites din, the gradients of all inputs, given the gradient of out.
	backward func(din, in [][]T, dout []T)
	// inPlace has the first input's gradient, which is as large, written over that of out:
	// nothing else in the graph may read that one. Else first is its memory; nil means new.
	inPlace bool
	first   []T
}

// op is what the three operations below have in common. No two have the same hash, so
// that gorgonia, which takes equal hashes for common subexpressions, merges none.
type op struct {
	name  string
	arity int
	typ   hm.Type
	shape tensor.Shape
}

func (o *op) Arity() int                                     { return o.arity }
func (o *op) Type() hm.Type                                  { return o.typ }
func (o *op) InferShape(...G.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }
func (o *op) ReturnsPtr() bool                               { return true }
func (o *op) CallsExtern() bool                              { return false }
func (o *op) OverwritesInput() int                           { return -1 }
func (o *op) WriteHash(h hash.Hash)                          { h.Write([]byte(o.name)) }
func (o *op) String() string                                 { return o.name }
func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// forwardOp runs fused.forward into a buffer of its own, which outlives the tape
// machine's Reset.
type forwardOp[T kernel.Float] struct {
	op
	f     *fused[T]
	value *buffer[T]
	in    [][]T
	grads map[*G.Node]*buffer[T] // of the inputs that are parameters
}

func apply[T kernel.Float](f *fused[T], grads map[*G.Node]*buffer[T], in ...*G.Node) (*G.Node, error) {
	o := &forwardOp[T]{op: op{f.name, len(in), signature(append(f.in[:len(f.in):len(f.in)], f.out.Dims())), f.out}, f: f,
		value: newBuffer[T](f.out), in: make([][]T, len(in)), grads: grads}
	return G.ApplyOp(o, in...)
}

func (o *forwardOp[T]) Do(in ...G.Value) (G.Value, error) {
	for i, v := range in {
		o.in[i] = slice[T](v)
	}
	o.f.forward(o.value.x, o.in)
	return o.value.value(), nil
}

func (o *forwardOp[T]) DiffWRT(n int) []bool {
	all := make([]bool, n)
	for i := range all {
		all[i] = true
	}
	return all
}

// SymDiff adds the backward to the graph. An operation has one result: that of the
// backward is the gradient of the first input, and a pick, depending on it, gives each
// of the others.
func (o *forwardOp[T]) SymDiff(in G.Nodes, _, grad *G.Node) (G.Nodes, error) {
	b := &backwardOp[T]{op: op{"d " + o.f.name, len(in) + 1, nil, in[0].Shape().Clone()}, f: o.f, in: make([][]T, len(in)), din: make([][]T, len(in))}
	b.typ = signature(append(append(o.f.in[:len(o.f.in):len(o.f.in)], o.f.out.Dims()), o.f.in[0]))
	for i, n := range in {
		g := o.grads[n]
		switch {
		case g != nil:
		case i == 0 && o.f.inPlace:
			g = &buffer[T]{} // what it is comes with each run
		case i == 0 && o.f.first != nil:
			g = &buffer[T]{}
			g.point(o.f.first, n.Shape())
		default:
			g = newBuffer[T](n.Shape())
		}
		b.grads = append(b.grads, g)
	}
	first, err := G.ApplyOp(b, append(in[:len(in):len(in)], grad)...)
	if err != nil {
		return nil, err
	}
	grads := G.Nodes{first}
	for i := 1; i < len(in); i++ {
		p := &pickOp[T]{op: op{fmt.Sprintf("d %s %d", o.f.name, i), 1, signature([]int{o.f.in[0], o.f.in[i]}), in[i].Shape().Clone()}, of: b.grads[i]}
		n, err := G.ApplyOp(p, first)
		if err != nil {
			return nil, err
		}
		grads = append(grads, n)
	}
	return grads, nil
}

type backwardOp[T kernel.Float] struct {
	op
	f     *fused[T]
	grads []*buffer[T]
	din   [][]T
	in    [][]T
}

func (o *backwardOp[T]) Do(in ...G.Value) (G.Value, error) {
	n := len(in) - 1
	for i, v := range in[:n] {
		o.in[i] = slice[T](v)
	}
	dout := slice[T](in[n])
	for i, g := range o.grads {
		o.din[i] = g.x
	}
	if o.f.inPlace {
		o.din[0] = dout
	}
	o.f.backward(o.din, o.in, dout)
	if o.f.inPlace {
		return in[n], nil
	}
	return o.grads[0].value(), nil
}

type pickOp[T kernel.Float] struct {
	op
	of *buffer[T]
}

func (o *pickOp[T]) Do(...G.Value) (G.Value, error) { return o.of.value(), nil }

var (
	_ G.SDOp = (*forwardOp[float32])(nil)
	_ G.Op   = (*backwardOp[float32])(nil)
	_ G.Op   = (*pickOp[float32])(nil)
)

// buffer is memory for a value. A scalar is copied out of it: gorgonia knows scalars
// by their own types.
type buffer[T kernel.Float] struct {
	x     []T
	dense *tensor.Dense // nil for a scalar
}

func newBuffer[T kernel.Float](s tensor.Shape) *buffer[T] {
	b := &buffer[T]{}
	b.point(make([]T, s.TotalSize()), s)
	return b
}

// point makes x the buffer's memory.
func (b *buffer[T]) point(x []T, s tensor.Shape) {
	b.x = x
	switch {
	case b.dense != nil:
		tensor.WithBacking(x)(b.dense)
	case !s.IsScalar():
		b.dense = tensor.New(tensor.WithShape(s...), tensor.WithBacking(x))
	}
}

func (b *buffer[T]) value() G.Value {
	if b.dense != nil {
		return b.dense
	}
	switch x := any(b.x[0]).(type) {
	case float32:
		return G.NewF32(x)
	case float64:
		return G.NewF64(x)
	}
	return nil // Float has no third type
}

func slice[T kernel.Float](v G.Value) []T {
	switch x := v.Data().(type) {
	case []T:
		return x
	case T:
		return []T{x}
	}
	return nil // the operation's type rules it out
}

// signature is the type of a function of values of such dimensions, the last being its
// result.
func signature(dims []int) hm.Type {
	var ts []hm.Type
	for _, d := range dims {
		a := hm.TypeVariable('a')
		if d == 0 {
			ts = append(ts, a)
		} else {
			ts = append(ts, G.TensorType{Dims: d, Of: a})
		}
	}
	return hm.NewFnType(ts...)
}

// guard turns a panic of gorgonia's into an error.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = errors.Join(*err, fmt.Errorf("training graph: %v", r))
	}
}

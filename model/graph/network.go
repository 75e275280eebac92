package graph

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// Network is the training graph of a network for micro-batches of one shape, with its
// tape machine and activations. Networks may share parameters and run at the
// same time, each in its own goroutine.
type Network[T kernel.Float] struct {
	vm      G.VM
	head    *rwkv.Head[T]
	tied    bool
	tensors []rwkv.Tensor
	grads   []*buffer[T] // of the tensors, and of a tied head: views of grad
	grad    []T          // of the last run
	batch   Batch[T]     // of the run that goes on
}

// Batch is what a network runs on: B sequences of T tokens.
type Batch[T kernel.Float] struct {
	Tokens, Targets []uint32 // [B,T]
	// State is what each sequence goes on from, and is left after its last token; no
	// gradient flows back into what came before. nil: all begin with nothing.
	State rwkv.State[T]
	// Fresh says of each token whether a document begins with it, [B,T]: what came before is
	// forgotten there, and no gradient flows back over it. nil: none begins.
	Fresh []bool
	// Layers is how many blocks take part, from the bottom; 0: all. The others pass on what
	// they get, which is what a block of rwkv.Init computes, and their gradients are not written.
	Layers int
}

func (b *Batch[T]) idle(layer int) bool { return b.Layers > 0 && layer >= b.Layers }

// New builds the graph over p, for batch sequences of seq tokens. p is read at every Run;
// only its owner writes it, between runs. keep does not change what Run gives.
func New[T kernel.Float](cpu *kernel.CPU[T], p *rwkv.Params[T], batch, seq int, keep rwkv.Checkpointing) (n *Network[T], err error) {
	defer guard(&err)
	if err := keep.Check(); err != nil {
		return nil, err
	}
	c := p.Config
	rows := batch * seq
	n = &Network[T]{head: rwkv.NewHead(cpu, c, rows), tied: c.Tied, tensors: c.Tensors()}
	if c.Tied { // a node of its own: gorgonia would add the two gradients up in fresh memory
		head := n.tensors[0]
		head.Name = "head.weight"
		n.tensors = append(n.tensors, head)
	}
	g := G.NewGraph()
	var params G.Nodes
	grads := map[*G.Node]*buffer[T]{}
	for _, t := range n.tensors {
		x := p.Flat[t.Start:t.End]
		// Its own header over the shared slice: machines write to headers.
		v := tensor.New(tensor.WithShape(shape(t)...), tensor.WithBacking(x))
		node := G.NewTensor(g, v.Dtype(), v.Dims(), G.WithShape(v.Shape()...), G.WithName(t.Name), G.WithValue(v))
		params = append(params, node)
		n.grads = append(n.grads, &buffer[T]{})
		grads[node] = n.grads[len(n.grads)-1]
	}
	x, err := apply(n.embedding(cpu, c, rows), grads, params[:3]...)
	if err != nil {
		return nil, err
	}
	at := 3
	for l, layer := range rwkv.NewLayers(cpu, c, batch, seq, keep) {
		if x, err = apply(n.block(layer, c, l, rows), grads, append(G.Nodes{x}, params[at:at+rwkv.BlockTensors]...)...); err != nil {
			return nil, err
		}
		at += rwkv.BlockTensors
	}
	loss, err := apply(n.loss(rows, c.Embd), grads, append(G.Nodes{x}, params[at:]...)...)
	if err != nil {
		return nil, err
	}
	if _, err := G.Grad(loss, params...); err != nil {
		return nil, fmt.Errorf("gradient of the training graph: %w", err)
	}
	// gorgonia merges nodes whose 32-bit hashes agree. All of these differ in meaning, so
	// fewer of them would mean a wrong gradient. Forward, backward and picks, and the 1
	// that the gradient starts from.
	want := len(params) + (1 + 3) + c.Layers*(1+1+rwkv.BlockTensors) + (1 + 4) + 1
	if got := len(g.AllNodes()); got != want {
		return nil, fmt.Errorf("the training graph has %d nodes, must have %d: two operations were taken for one", got, want)
	}
	n.vm = G.NewTapeMachine(g)
	return n, nil
}

// shape is a tensor's in the graph: a vector has one dimension, however many ones the
// file's shape has before it.
func shape(t rwkv.Tensor) tensor.Shape {
	if t.Group.IsMatrix() {
		return tensor.Shape(t.Shape)
	}
	return tensor.Shape{t.End - t.Start}
}

// Run writes the gradient of the sum of the losses of b's tokens into grad, which is as
// long as Params.Flat. It returns that sum.
func (n *Network[T]) Run(b Batch[T], grad []T) (loss float64, err error) {
	defer guard(&err)
	n.batch = b
	n.point(grad)
	if err := n.vm.RunAll(); err != nil {
		return 0, fmt.Errorf("training graph: %w", err)
	}
	for _, l := range n.head.Loss {
		loss += float64(l)
	}
	n.vm.Reset()
	return loss, nil
}

// point has the operations write the gradients of parameters into grad.
func (n *Network[T]) point(grad []T) {
	if len(n.grad) > 0 && &n.grad[0] == &grad[0] {
		return
	}
	n.grad = grad
	for i, t := range n.tensors {
		n.grads[i].point(grad[t.Start:t.End], shape(t))
	}
}

func (n *Network[T]) embedding(cpu *kernel.CPU[T], c rwkv.Config, rows int) *fused[T] {
	e := rwkv.NewEmbedding(cpu, c, rows)
	return &fused[T]{
		name: "embedding", in: []int{2, 1, 1}, out: tensor.Shape{rows, c.Embd},
		forward: func(out []T, in [][]T) { e.Forward(out, in[0], in[1], in[2], n.batch.Tokens) },
		backward: func(din, in [][]T, dout []T) {
			e.Backward(din[0], din[1], din[2], dout, in[1], n.batch.Tokens, n.tied) // the head's is there: it comes first
		},
	}
}

func (n *Network[T]) block(a *rwkv.Layer[T], c rwkv.Config, l, rows int) *fused[T] {
	dims := []int{2}
	for _, t := range c.Tensors()[3 : 3+rwkv.BlockTensors] {
		dims = append(dims, len(shape(t)))
	}
	return &fused[T]{
		name: fmt.Sprintf("block %d", l), in: dims, out: tensor.Shape{rows, c.Embd}, inPlace: true,
		forward: func(out []T, in [][]T) {
			if n.batch.idle(l) {
				copy(out, in[0])
				return
			}
			p := rwkv.NewBlock(in[1:])
			var s *rwkv.LayerState[T]
			if n.batch.State != nil {
				s = &n.batch.State[l]
			}
			a.Forward(&p, out, in[0], s, n.batch.Fresh)
		},
		backward: func(din, in [][]T, dout []T) {
			if n.batch.idle(l) {
				copy(din[0], dout)
				return
			}
			p, g := rwkv.NewBlock(in[1:]), rwkv.NewBlock(din[1:])
			a.Backward(&p, &g, din[0], dout, nil)
		},
	}
}

// loss is the head with the sum of losses, a scalar. Its gradients are made along with
// the loss, those of parameters in their places; backward multiplies them by the
// gradient of the sum.
func (n *Network[T]) loss(rows, d int) *fused[T] {
	dx := make([]T, rows*d)
	g := n.grads[len(n.grads)-3:]
	return &fused[T]{
		name: "head", in: []int{2, 1, 1, 2}, out: tensor.ScalarShape(), first: dx,
		forward: func(out []T, in [][]T) {
			n.head.Forward(dx, g[0].x, g[1].x, g[2].x, in[0], in[1], in[2], in[3], n.batch.Targets)
			out[0] = 0
			for _, l := range n.head.Loss {
				out[0] += l
			}
		},
		backward: func(din, _ [][]T, dout []T) {
			if dout[0] == 1 {
				return
			}
			for _, x := range din {
				for i := range x {
					x[i] *= dout[0]
				}
			}
		},
	}
}

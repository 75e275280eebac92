package graph

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/ptbr-slm/pipeline/model/kernel"
	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// Network is the training graph of a network for micro-batches of one shape, with its
// tape machine, activations and gradients. Networks may share parameters and run at the
// same time, each in its own goroutine.
type Network[T kernel.Float] struct {
	vm      G.VM
	grads   G.Nodes // in the order of Config.Tensors
	head    *rwkv.Head[T]
	tensors []rwkv.Tensor
	batch   Batch[T] // of the run that goes on
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
}

// New builds the graph over p, for batch sequences of seq tokens. p is read at every Run; only its owner writes it, between runs.
func New[T kernel.Float](cpu *kernel.CPU[T], p *rwkv.Params[T], batch, seq int) (n *Network[T], err error) {
	defer guard(&err)
	c := p.Config
	rows, d := batch*seq, c.Embd
	n = &Network[T]{head: rwkv.NewHead(cpu, c, rows), tensors: c.Tensors()}
	g := G.NewGraph()
	var params G.Nodes
	for _, t := range n.tensors {
		x := p.Flat[t.Start:t.End]
		shape := tensor.Shape{len(x)} // a vector, however many ones the file's shape has before it
		if t.Group == rwkv.Matrix {
			shape = tensor.Shape(t.Shape)
		}
		// Its own header over the shared slice: machines write to headers.
		v := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
		params = append(params, G.NewTensor(g, v.Dtype(), shape.Dims(), G.WithShape(shape...), G.WithName(t.Name), G.WithValue(v)))
	}
	x, err := apply(n.embedding(cpu, c, rows), params[0], params[1], params[2])
	if err != nil {
		return nil, err
	}
	for l := range c.Layers {
		at := 3 + l*rwkv.BlockTensors
		if x, err = apply(n.block(cpu, c, l, batch, seq), append(G.Nodes{x}, params[at:at+rwkv.BlockTensors]...)...); err != nil {
			return nil, err
		}
	}
	at := 3 + c.Layers*rwkv.BlockTensors
	head := params[0]
	if !c.Tied {
		head = params[at+2]
	}
	loss, err := apply(n.lossOp(rows, d), x, params[at], params[at+1], head)
	if err != nil {
		return nil, err
	}
	if n.grads, err = G.Grad(loss, params...); err != nil {
		return nil, fmt.Errorf("gradient of the training graph: %w", err)
	}
	// gorgonia merges nodes whose 32-bit hashes agree. All of these differ in meaning, so
	// fewer of them would mean a wrong gradient. Forward, backward and picks, and the 1
	// that the gradient starts from; tied, the sum of the embedding's two gradients.
	want := len(params) + (1 + 3) + c.Layers*(1+1+rwkv.BlockTensors) + (1 + 4) + 1
	if c.Tied {
		want++
	}
	if got := len(g.AllNodes()); got != want {
		return nil, fmt.Errorf("the training graph has %d nodes, must have %d: two operations were taken for one", got, want)
	}
	n.vm = G.NewTapeMachine(g)
	return n, nil
}

// Run writes the gradient of the sum of the losses of b's tokens into grad, which is as
// long as Params.Flat. It returns that sum.
func (n *Network[T]) Run(b Batch[T], grad []T) (loss float64, err error) {
	defer guard(&err)
	n.batch = b
	if err := n.vm.RunAll(); err != nil {
		return 0, fmt.Errorf("training graph: %w", err)
	}
	for i, t := range n.tensors {
		copy(grad[t.Start:t.End], slice[T](n.grads[i].Value()))
	}
	for _, l := range n.head.Loss {
		loss += float64(l)
	}
	n.vm.Reset()
	return loss, nil
}

func (n *Network[T]) embedding(cpu *kernel.CPU[T], c rwkv.Config, rows int) *fused[T] {
	e := rwkv.NewEmbedding(cpu, c, rows)
	return &fused[T]{
		name: "embedding", in: []int{2, 1, 1}, out: tensor.Shape{rows, c.Embd},
		forward:  func(out []T, in [][]T) { e.Forward(out, in[0], in[1], in[2], n.batch.Tokens) },
		backward: func(din, in [][]T, dout []T) { e.Backward(din[0], din[1], din[2], dout, in[1], n.batch.Tokens) },
	}
}

func (n *Network[T]) block(cpu *kernel.CPU[T], c rwkv.Config, l, batch, seq int) *fused[T] {
	a := rwkv.NewLayer(cpu, c, batch, seq, true)
	dims := []int{2}
	for _, t := range c.Tensors()[3 : 3+rwkv.BlockTensors] {
		if t.Group == rwkv.Matrix {
			dims = append(dims, 2)
		} else {
			dims = append(dims, 1)
		}
	}
	return &fused[T]{
		name: fmt.Sprintf("block %d", l), in: dims, out: tensor.Shape{batch * seq, c.Embd},
		forward: func(out []T, in [][]T) {
			p := rwkv.NewBlock(in[1:])
			var s *rwkv.LayerState[T]
			if n.batch.State != nil {
				s = &n.batch.State[l]
			}
			a.Forward(&p, out, in[0], s, n.batch.Fresh)
		},
		backward: func(din, in [][]T, dout []T) {
			p, g := rwkv.NewBlock(in[1:]), rwkv.NewBlock(din[1:])
			a.Backward(&p, &g, din[0], dout, nil)
		},
	}
}

// lossOp is the head with the sum of losses, a scalar. Its gradients are made along with
// the loss and wait here for the scalar they are multiplied by.
func (n *Network[T]) lossOp(rows, d int) *fused[T] {
	var dx, gw, gb, gh []T
	return &fused[T]{
		name: "head", in: []int{2, 1, 1, 2}, out: tensor.ScalarShape(),
		forward: func(out []T, in [][]T) {
			if dx == nil {
				dx, gw, gb, gh = make([]T, rows*d), make([]T, d), make([]T, d), make([]T, len(in[3]))
			}
			n.head.Forward(dx, gw, gb, gh, in[0], in[1], in[2], in[3], n.batch.Targets)
			out[0] = 0
			for _, l := range n.head.Loss {
				out[0] += l
			}
		},
		backward: func(din, _ [][]T, dout []T) {
			for i, x := range [][]T{dx, gw, gb, gh} {
				for j, v := range x {
					din[i][j] = v * dout[0]
				}
			}
		},
	}
}

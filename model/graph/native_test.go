package graph

import (
	"fmt"
	"math"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/ptbr-slm/pipeline/model/rwkv"
)

// native writes the network out in gorgonia's own primitives, vector by vector and
// token by token, from the equations: no kernel of ours is in it, and its gradients are
// gorgonia's alone.
type native struct {
	g    *G.ExprGraph
	c    rwkv.Config
	p    map[string]*G.Node
	all  G.Nodes
	zero *G.Node
}

func (n *native) constant(name string, x ...float64) *G.Node {
	if len(x) == 1 {
		return G.NewConstant(x[0])
	}
	return G.NewVector(n.g, tensor.Float64, G.WithShape(len(x)), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))))
}

func add(a, b *G.Node) *G.Node { return G.Must(G.Add(a, b)) }
func sub(a, b *G.Node) *G.Node { return G.Must(G.Sub(a, b)) }
func mul(a, b *G.Node) *G.Node { return G.Must(G.HadamardProd(a, b)) }
func div(a, b *G.Node) *G.Node { return G.Must(G.HadamardDiv(a, b)) }
func exp(a *G.Node) *G.Node    { return G.Must(G.Exp(a)) }
func sum(a *G.Node) *G.Node    { return G.Must(G.Sum(a)) }
func dot(w, x *G.Node) *G.Node { return G.Must(G.Mul(w, x)) }

func (n *native) layerNorm(x *G.Node, name string) *G.Node {
	d := G.NewConstant(float64(n.c.Embd))
	centred := sub(x, G.Must(G.Div(sum(x), d)))
	variance := G.Must(G.Div(sum(G.Must(G.Square(centred))), d))
	std := G.Must(G.Sqrt(add(variance, G.NewConstant(1e-5))))
	return add(mul(G.Must(G.Div(centred, std)), n.p[name+".weight"]), n.p[name+".bias"])
}

func (n *native) shift(h, prev, mu *G.Node) *G.Node {
	return add(mul(h, mu), mul(prev, sub(n.constant("", 1), mu)))
}

// sequence is the sum of the losses of one sequence.
func (n *native) sequence(b int, tokens, targets []uint32) *G.Node {
	var xs []*G.Node
	emb := n.p["rwkv.embeddings.weight"]
	for _, id := range tokens {
		xs = append(xs, n.layerNorm(G.Must(G.Slice(emb, G.S(int(id)))), "rwkv.blocks.0.pre_ln"))
	}
	for l := range n.c.Layers {
		att, ffn := fmt.Sprintf("rwkv.blocks.%d.attention.", l), fmt.Sprintf("rwkv.blocks.%d.feed_forward.", l)
		decay := exp(G.Must(G.Neg(exp(n.p[att+"time_decay"])))) // e^w
		prevH, prevG := n.zero, n.zero
		var num, den *G.Node // Σ e^… v and Σ e^… of the tokens before
		for t, x := range xs {
			h := n.layerNorm(x, fmt.Sprintf("rwkv.blocks.%d.ln1", l))
			k := dot(n.p[att+"key.weight"], n.shift(h, prevH, n.p[att+"time_mix_key"]))
			v := dot(n.p[att+"value.weight"], n.shift(h, prevH, n.p[att+"time_mix_value"]))
			r := G.Must(G.Sigmoid(dot(n.p[att+"receptance.weight"], n.shift(h, prevH, n.p[att+"time_mix_receptance"]))))
			prevH = h
			now, ek := exp(add(n.p[att+"time_first"], k)), exp(k)
			top, bottom := mul(now, v), now
			if t == 0 {
				num, den = mul(ek, v), ek
			} else {
				top, bottom = add(num, top), add(den, bottom)
				num, den = add(mul(decay, num), mul(ek, v)), add(mul(decay, den), ek)
			}
			x = add(x, dot(n.p[att+"output.weight"], mul(r, div(top, bottom))))

			g := n.layerNorm(x, fmt.Sprintf("rwkv.blocks.%d.ln2", l))
			key := G.Must(G.Square(G.Must(G.Rectify(dot(n.p[ffn+"key.weight"], n.shift(g, prevG, n.p[ffn+"time_mix_key"]))))))
			gate := G.Must(G.Sigmoid(dot(n.p[ffn+"receptance.weight"], n.shift(g, prevG, n.p[ffn+"time_mix_receptance"]))))
			prevG = g
			xs[t] = add(x, mul(gate, dot(n.p[ffn+"value.weight"], key)))
		}
	}
	var total *G.Node
	for t, x := range xs {
		logits := dot(n.p["head.weight"], n.layerNorm(x, "rwkv.ln_out"))
		hot := make([]float64, n.c.Vocab)
		hot[targets[t]] = 1
		loss := sub(G.Must(G.Log(sum(exp(logits)))), sum(mul(logits, n.constant(fmt.Sprintf("target %d %d", b, t), hot...))))
		if total == nil {
			total = loss
		} else {
			total = add(total, loss)
		}
	}
	return total
}

// The same network, differentiated twice: by our kernels' backwards and by gorgonia.
func TestAgainstPrimitives(t *testing.T) {
	c := rwkv.Config{Vocab: 7, Embd: 5, Layers: 2, FFN: 6}
	const batch, seq = 2, 4 // the decay first acts on the third token
	p := randomParams(c, 5)
	tokens, targets := randomTokens(c.Vocab, batch*seq, 6)
	loss, grad := run(t, network(t, p, batch, seq), p, Batch[float64]{Tokens: tokens, Targets: targets})

	n := &native{g: G.NewGraph(), c: c, p: map[string]*G.Node{}}
	for _, q := range c.Tensors() {
		x := p.Flat[q.Start:q.End]
		shape := tensor.Shape{len(x)}
		if q.Group.IsMatrix() {
			shape = q.Shape
		}
		node := G.NewTensor(n.g, tensor.Float64, shape.Dims(), G.WithShape(shape...), G.WithName(q.Name),
			G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(append([]float64(nil), x...)))))
		n.p[q.Name] = node
		n.all = append(n.all, node)
	}
	n.zero = n.constant("zero", make([]float64, c.Embd)...)
	total := n.sequence(0, tokens[:seq], targets[:seq])
	total = add(total, n.sequence(1, tokens[seq:], targets[seq:]))
	grads, err := G.Grad(total, n.all...)
	if err != nil {
		t.Fatal(err)
	}
	vm := G.NewTapeMachine(n.g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	if want := total.Value().Data().(float64); math.Abs(loss-want) > 1e-10 {
		t.Fatalf("loss %.12f, of primitives %.12f", loss, want)
	}
	for i, q := range c.Tensors() {
		want := grads[i].Value().Data().([]float64)
		for j, g := range grad[q.Start:q.End] {
			if math.Abs(g-want[j]) > 1e-9*(1+math.Abs(want[j])) {
				t.Fatalf("%s[%d]: gradient %.12g, of primitives %.12g", q.Name, j, g, want[j])
			}
		}
	}
}

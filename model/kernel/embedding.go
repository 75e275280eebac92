package kernel

// Embedding gathers y_t = e[tokens_t]: e [V,d], y [len(tokens),d].
func (c *CPU[T]) Embedding(y, e []T, tokens []uint32, d int) {
	for t, id := range tokens {
		copy(y[t*d:(t+1)*d], e[int(id)*d:(int(id)+1)*d])
	}
}

// EmbeddingBackward overwrites de with the sums of dy by token, in order of position; or,
// when add is set, adds to de those sums, for which it writes over dy.
func (c *CPU[T]) EmbeddingBackward(de, dy []T, tokens []uint32, d int, add bool) {
	if add {
		c.embeddingAdd(de, dy, tokens, d)
		return
	}
	c.tasks.clear = cleared[T]{de}
	c.spans(len(de), 1<<16, &c.tasks.clear)
	c.tasks.embeddingBackward = embeddingBackward[T]{de, dy, tokens, nil, d}
	c.spans(d, 16, &c.tasks.embeddingBackward)
}

// embeddingAdd makes each token's sum in the row of dy where the token stands first.
func (c *CPU[T]) embeddingAdd(de, dy []T, tokens []uint32, d int) {
	if n := len(de) / d; len(c.seen) < n {
		c.seen = make([]int32, n)
	}
	for _, id := range tokens {
		c.seen[id] = -1
	}
	for t, id := range tokens {
		if c.seen[id] < 0 {
			c.seen[id] = int32(t)
		}
	}
	c.tasks.embeddingBackward = embeddingBackward[T]{de, dy, tokens, c.seen, d}
	c.spans(d, 16, &c.tasks.embeddingBackward)
}

type embeddingBackward[T Float] struct {
	de, dy []T
	tokens []uint32
	first  []int32 // by token: the row in which its sum is made; nil: in de
	d      int
}

// span takes columns: each sum stays one chain.
func (k *embeddingBackward[T]) span(_, lo, hi int) {
	if k.first == nil {
		for t, id := range k.tokens {
			addRow(k.de[int(id)*k.d+lo:int(id)*k.d+hi], k.dy[t*k.d+lo:t*k.d+hi])
		}
		return
	}
	for t, id := range k.tokens {
		if first := int(k.first[id]); first < t {
			addRow(k.dy[first*k.d+lo:first*k.d+hi], k.dy[t*k.d+lo:t*k.d+hi])
		}
	}
	for t, id := range k.tokens {
		if int(k.first[id]) == t {
			addRow(k.de[int(id)*k.d+lo:int(id)*k.d+hi], k.dy[t*k.d+lo:t*k.d+hi])
		}
	}
}

func addRow[T Float](y, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += v
	}
}

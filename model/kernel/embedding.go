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
	c.spans(len(de), 1<<16, func(lo, hi int) { clear(de[lo:hi]) })
	c.spans(d, 16, func(lo, hi int) { // threads take columns: each sum stays one chain
		for t, id := range tokens {
			addRow(de[int(id)*d+lo:int(id)*d+hi], dy[t*d+lo:t*d+hi])
		}
	})
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
	c.spans(d, 16, func(lo, hi int) {
		for t, id := range tokens {
			if first := int(c.seen[id]); first < t {
				addRow(dy[first*d+lo:first*d+hi], dy[t*d+lo:t*d+hi])
			}
		}
		for t, id := range tokens {
			if int(c.seen[id]) == t {
				addRow(de[int(id)*d+lo:int(id)*d+hi], dy[t*d+lo:t*d+hi])
			}
		}
	})
}

func addRow[T Float](y, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] += v
	}
}

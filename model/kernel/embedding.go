package kernel

// Embedding gathers y_t = e[tokens_t]: e [V,d], y [len(tokens),d].
func (c *CPU[T]) Embedding(y, e []T, tokens []uint32, d int) {
	for t, id := range tokens {
		copy(y[t*d:(t+1)*d], e[int(id)*d:(int(id)+1)*d])
	}
}

// EmbeddingBackward overwrites de with the sums of dy by token, in order of position.
func (c *CPU[T]) EmbeddingBackward(de, dy []T, tokens []uint32, d int) {
	c.spans(len(de), 1<<16, func(lo, hi int) { clear(de[lo:hi]) })
	c.spans(d, 16, func(lo, hi int) { // threads take columns: each sum stays one chain
		for t, id := range tokens {
			o := de[int(id)*d+lo : int(id)*d+hi]
			for i, v := range dy[t*d+lo : t*d+hi] {
				o[i] += v
			}
		}
	})
}

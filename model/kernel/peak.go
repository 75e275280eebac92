package kernel

// Exercise does n rounds of multiply-adds on the registers of each thread, and nothing
// else, and returns how many floating-point operations that were: what this processor can
// do at most on the path in use. It is 0 in plain Go, which has no such loop.
func (c *CPU[T]) Exercise(n int) (flop float64) {
	if c.path.peak == nil {
		return 0
	}
	c.each(c.threads, function(func(_, _ int) { c.path.peak(n) }))
	return float64(c.threads) * float64(n) * float64(c.path.round)
}

// Read reads x once and returns the sum of what it read, so that the reading is needed.
func (c *CPU[T]) Read(x []T) (total T) {
	const size = 1 << 18
	sums := make([]T, (len(x)+size-1)/size)
	c.each(len(sums), function(func(_, i int) { sums[i] = c.path.sum(x[i*size : min((i+1)*size, len(x))]) }))
	return sum(sums)
}

package kernel

// Sigmoid computes r = 1/(1+e^-r) in place.
func (c *CPU[T]) Sigmoid(r []T) {
	if len(r) <= span {
		c.sigmoid(r)
		return
	}
	c.spans(len(r), span, func(lo, hi int) { c.sigmoid(r[lo:hi]) })
}

func (c *CPU[T]) sigmoid(r []T) {
	for i, v := range r {
		r[i] = -v
	}
	c.path.exp(r)
	for i, v := range r {
		r[i] = 1 / (1 + v)
	}
}

// Gate computes z = r·y, element by element.
func (c *CPU[T]) Gate(z, r, y []T) {
	if len(z) <= span {
		gate(z, r, y)
		return
	}
	c.spans(len(z), span, func(lo, hi int) { gate(z[lo:hi], r[lo:hi], y[lo:hi]) })
}

func gate[T Float](z, r, y []T) {
	r, y = r[:len(z)], y[:len(z)]
	for i := range z {
		z[i] = r[i] * y[i]
	}
}

// SigmoidGateBackward goes back through z = r·y and r = sigmoid(q): dy = dz·r and
// dq = dz·y·r·(1-r). r is what Sigmoid gave. dq or dy may be dz.
func (c *CPU[T]) SigmoidGateBackward(dq, dy, dz, r, y []T) {
	c.spans(len(dz), span, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, s := dz[i], r[i]
			dq[i] = T(g*y[i]) * T(s*(1-s))
			dy[i] = g * s
		}
	})
}

// SquaredReLU computes y = max(x, 0)².
func (c *CPU[T]) SquaredReLU(y, x []T) {
	if len(y) <= span {
		squaredReLU(y, x)
		return
	}
	c.spans(len(y), span, func(lo, hi int) { squaredReLU(y[lo:hi], x[lo:hi]) })
}

func squaredReLU[T Float](y, x []T) {
	for i, v := range x[:len(y)] {
		v = max(v, 0)
		y[i] = v * v
	}
}

// SquaredReLUBackward computes dx = dy·2·max(x, 0). dx may be dy.
func (c *CPU[T]) SquaredReLUBackward(dx, dy, x []T) {
	c.spans(len(dx), span, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx[i] = dy[i] * (2 * max(x[i], 0))
		}
	})
}

// Add computes y = a + b.
func (c *CPU[T]) Add(y, a, b []T) {
	if len(y) <= span {
		add(y, a, b)
		return
	}
	c.spans(len(y), span, func(lo, hi int) { add(y[lo:hi], a[lo:hi], b[lo:hi]) })
}

func add[T Float](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

// AddGate computes y = a + r·v.
func (c *CPU[T]) AddGate(y, a, r, v []T) {
	if len(y) <= span {
		addGate(y, a, r, v)
		return
	}
	c.spans(len(y), span, func(lo, hi int) { addGate(y[lo:hi], a[lo:hi], r[lo:hi], v[lo:hi]) })
}

func addGate[T Float](y, a, r, v []T) {
	a, r, v = a[:len(y)], r[:len(y)], v[:len(y)]
	for i := range y {
		y[i] = a[i] + T(r[i]*v[i])
	}
}

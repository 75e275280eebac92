package kernel

// Sigmoid computes r = 1/(1+e^-r) in place.
func (c *CPU[T]) Sigmoid(r []T) {
	if len(r) <= span {
		c.path.sigmoid(r)
		return
	}
	c.tasks.loop1 = loop1[T]{c.path.sigmoid, r}
	c.spans(len(r), span, &c.tasks.loop1)
}

func sigmoid[T Float](r []T) {
	for i, v := range r {
		r[i] = -v
	}
	exponential(r)
	for i, v := range r {
		r[i] = 1 / (v + 1)
	}
}

// Gate computes z = r·y, element by element.
func (c *CPU[T]) Gate(z, r, y []T) {
	if len(z) <= span {
		c.path.gate(z, r, y)
		return
	}
	c.tasks.loop3 = loop3[T]{c.path.gate, z, r, y}
	c.spans(len(z), span, &c.tasks.loop3)
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
	c.tasks.loop5 = loop5[T]{c.path.sigmoidGateBackward, dq, dy, dz, r, y}
	c.spans(len(dz), span, &c.tasks.loop5)
}

func sigmoidGateBackward[T Float](dq, dy, dz, r, y []T) {
	for i := range dz {
		g, s := dz[i], r[i]
		dq[i] = T(g*y[i]) * T(s*(1-s))
		dy[i] = g * s
	}
}

// SquaredReLU computes y = max(x, 0)².
func (c *CPU[T]) SquaredReLU(y, x []T) {
	if len(y) <= span {
		c.path.squaredReLU(y, x)
		return
	}
	c.tasks.loop2 = loop2[T]{c.path.squaredReLU, y, x}
	c.spans(len(y), span, &c.tasks.loop2)
}

func squaredReLU[T Float](y, x []T) {
	for i, v := range x[:len(y)] {
		v = larger(0, v)
		y[i] = v * v
	}
}

// SquaredReLUBackward computes dx = dy·2·max(x, 0). dx may be dy.
func (c *CPU[T]) SquaredReLUBackward(dx, dy, x []T) {
	c.tasks.loop3 = loop3[T]{c.path.squaredReLUBackward, dx, dy, x}
	c.spans(len(dx), span, &c.tasks.loop3)
}

func squaredReLUBackward[T Float](dx, dy, x []T) {
	for i := range dx {
		dx[i] = dy[i] * (2 * larger(0, x[i]))
	}
}

// Add computes y = a + b.
func (c *CPU[T]) Add(y, a, b []T) {
	if len(y) <= span {
		c.path.add(y, a, b)
		return
	}
	c.tasks.loop3 = loop3[T]{c.path.add, y, a, b}
	c.spans(len(y), span, &c.tasks.loop3)
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
		c.path.addGate(y, a, r, v)
		return
	}
	c.tasks.loop4 = loop4[T]{c.path.addGate, y, a, r, v}
	c.spans(len(y), span, &c.tasks.loop4)
}

func addGate[T Float](y, a, r, v []T) {
	a, r, v = a[:len(y)], r[:len(y)], v[:len(y)]
	for i := range y {
		y[i] = a[i] + T(r[i]*v[i])
	}
}

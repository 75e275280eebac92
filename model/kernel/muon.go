package kernel

import "math"

// Muon is one step of the optimizer of that name for a matrix (Jordan, Jin, Boza, You, Cecista,
// Newhouse and Bernstein 2024, "Muon: An optimizer for hidden layers in neural networks"):
// p -= Rate·(√max(1, rows/cols)·O + Decay·p), where O is near the orthogonal matrix that is
// nearest to the gradient's running mean with Nesterov's look ahead. So all directions of the
// matrix are moved alike, however little of the gradient is in them.
type Muon struct {
	Rate, Momentum, Decay float64
}

// newtonSchulz are the coefficients a, b, c of an iteration X ← aX + (bA + cA²)X, A = XXᵀ,
// of that paper: they bring singular values from 0.002 to 1 to within 0.7 and 1.2 in five
// iterations, not exactly to 1, since faster serves training better.
var newtonSchulz = [3]float64{3.4445, -4.7750, 2.0315}

const newtonSchulzSteps = 5

// Muon updates a matrix p, [rows,cols], and its running mean m by the gradient scale·g. Where
// the mean is zero, as for what no gradient has reached yet, p is left as Decay has it.
func (c *CPU[T]) Muon(p, g, m []T, rows, cols int, s Muon, scale T) {
	n := min(rows, cols)
	c.square = grow(c.square, 2*n*n)
	c.matrix = grow(c.matrix, 2*len(p))
	x, y := c.matrix[:len(p)], c.matrix[len(p):2*len(p)]
	mu, part := T(s.Momentum), T(1-s.Momentum)*scale
	c.blend(m, m, g, mu, part)
	c.blend(x, m, g, mu, part)
	x = c.orthogonalize(x, y, rows, cols)
	step := T(-s.Rate * math.Sqrt(max(1, float64(rows)/float64(cols))))
	keep := T(1 - float64(s.Rate*s.Decay))
	c.blend(p, p, x, keep, step)
}

// blend computes y = s·x + t·z; y may be x. Without z, y = s·x.
func (c *CPU[T]) blend(y, x, z []T, s, t T) {
	c.tasks.blend = blend[T]{c.path, y, x, z, s, t}
	c.spans(len(y), span, &c.tasks.blend)
}

type blend[T Float] struct {
	path    *path[T]
	y, x, z []T
	s, t    T
}

func (k *blend[T]) span(_, lo, hi int) {
	y := k.y[lo:hi]
	copy(y, k.x[lo:hi])
	k.path.scale(y, k.s)
	if k.z != nil {
		k.path.axpy(y, k.z[lo:hi], k.t)
	}
}

// orthogonalize brings the singular values of x, [rows,cols], near 1 and leaves zeros as they
// are. It overwrites x and y and returns the one that has the result.
func (c *CPU[T]) orthogonalize(x, y []T, rows, cols int) []T {
	norm := math.Sqrt(c.SumSquares(x))
	if norm == 0 {
		return x
	}
	n := min(rows, cols)
	a, b := c.square[:n*n], c.square[n*n:2*n*n]
	c.blend(x, x, nil, T(1/norm), 0)
	for range newtonSchulzSteps {
		c.Gemm(rows > cols, rows <= cols, n, n, max(rows, cols), x, x, a, false) // XXᵀ, or XᵀX where that is smaller
		c.Gemm(false, false, n, n, n, a, a, b, false)
		c.blend(b, b, a, T(newtonSchulz[2]), T(newtonSchulz[1]))
		c.blend(y, x, nil, T(newtonSchulz[0]), 0)
		if rows <= cols {
			c.Gemm(false, false, rows, cols, n, b, x, y, true)
		} else {
			c.Gemm(false, false, rows, cols, n, x, b, y, true)
		}
		x, y = y, x
	}
	return x
}

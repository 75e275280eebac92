package kernel

import "math"

// CrossEntropy turns each row of logits, of len(logits)/len(targets) elements, into the
// gradient of its loss, softmax - onehot(target), and puts the loss,
// -ln softmax(row)[target], into loss. A target of Ignore has loss 0 and gradient 0.
func (c *CPU[T]) CrossEntropy(loss, logits []T, targets []uint32) {
	c.tasks.crossEntropy = crossEntropy[T]{c, loss, logits, targets}
	c.each(len(targets), &c.tasks.crossEntropy)
}

type crossEntropy[T Float] struct {
	c            *CPU[T]
	loss, logits []T
	targets      []uint32
}

func (k *crossEntropy[T]) do(_, t int) {
	v := len(k.logits) / len(k.targets)
	row, target := k.logits[t*v:(t+1)*v], k.targets[t]
	if target == Ignore {
		clear(row)
		k.loss[t] = 0
		return
	}
	x := row[target]
	top, sum := k.c.softmax(row)
	k.loss[t] = T(Log(float64(sum))) + top - x
	k.c.path.scale(row, 1/sum)
	row[target]--
}

// Ignore is the target of a position that has none.
const Ignore = math.MaxUint32

// softmax turns a row into e^(x-max) and returns max and the sum.
func (c *CPU[T]) softmax(row []T) (top, sum T) {
	top = c.path.top(row)
	return top, c.path.expSum(row, top)
}

// Loss returns -ln softmax(row)[target] of one row of logits, leaving e^(x-max) in it.
func (c *CPU[T]) Loss(row []T, target uint32) float64 {
	x := row[target]
	top, sum := c.softmax(row)
	return Log(float64(sum)) + float64(top-x)
}

// Softmax turns a row of logits into probabilities.
func (c *CPU[T]) Softmax(row []T) {
	_, sum := c.softmax(row)
	for i := range row {
		row[i] /= sum
	}
}

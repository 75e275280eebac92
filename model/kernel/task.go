package kernel

// task is a kernel at work: its arguments, and what is to be done with the i-th part of them.
// Tasks stand in the CPU, one of each kind, so that a call of a kernel takes no memory, however
// many goroutines share it.
type task interface{ do(thread, i int) }

// spanned is a task over rows or elements, done span by span.
type spanned interface{ span(thread, lo, hi int) }

// tasks are the kernels' arguments of the last call of each.
type tasks[T Float] struct {
	cut               cut
	sums              rowSums[T]
	products          products[T]
	loop1             loop1[T]
	loop2             loop2[T]
	loop3             loop3[T]
	loop4             loop4[T]
	loop5             loop5[T]
	product           product[T]
	words             words[T]
	norm              normRows[T]
	normBackward      normRowsBackward[T]
	shift             shiftRows[T]
	shiftBackward     shiftRowsBackward[T]
	wkv               wkvTask[T]
	wkvBackward       wkvTaskBackward[T]
	crossEntropy      crossEntropy[T]
	clear             cleared[T]
	embeddingBackward embeddingBackward[T]
	adamW             adamWTask[T]
	squares           squares[T]
	blend             blend[T]
}

// cut is a task over [0, n), in spans of at most size.
type cut struct {
	n, size int
	of      spanned
}

func (k *cut) do(thread, i int) { k.of.span(thread, i*k.size, min((i+1)*k.size, k.n)) }

// function is a task that takes memory at each call, for what does not run in a step.
type function func(thread, i int)

func (f function) do(thread, i int) { f(thread, i) }

// loop1 to loop5 run a loop of a path along so many slices.
type (
	loop1[T Float] struct {
		f func(a []T)
		a []T
	}
	loop2[T Float] struct {
		f    func(a, b []T)
		a, b []T
	}
	loop3[T Float] struct {
		f       func(a, b, c []T)
		a, b, c []T
	}
	loop4[T Float] struct {
		f          func(a, b, c, d []T)
		a, b, c, d []T
	}
	loop5[T Float] struct {
		f             func(a, b, c, d, e []T)
		a, b, c, d, e []T
	}
)

func (k *loop1[T]) span(_, lo, hi int) { k.f(k.a[lo:hi]) }
func (k *loop2[T]) span(_, lo, hi int) { k.f(k.a[lo:hi], k.b[lo:hi]) }
func (k *loop3[T]) span(_, lo, hi int) { k.f(k.a[lo:hi], k.b[lo:hi], k.c[lo:hi]) }
func (k *loop4[T]) span(_, lo, hi int) { k.f(k.a[lo:hi], k.b[lo:hi], k.c[lo:hi], k.d[lo:hi]) }
func (k *loop5[T]) span(_, lo, hi int) {
	k.f(k.a[lo:hi], k.b[lo:hi], k.c[lo:hi], k.d[lo:hi], k.e[lo:hi])
}

// cleared is a slice to clear.
type cleared[T Float] struct{ x []T }

func (k *cleared[T]) span(_, lo, hi int) { clear(k.x[lo:hi]) }

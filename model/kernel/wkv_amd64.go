package kernel

// The slots of a block: 16 channels each.
const (
	slotW, slotU            = 0, 1
	slotA, slotB, slotP     = 2, 3, 4 // wkv, wkvStates
	slotDA, slotDB          = 5, 6    // wkvStates
	slotGW, slotGU          = 7, 8
	slotAl, slotBe, slotRho = 2, 3, 4 // wkvGradients
)

// wkvGroup is how a path goes over a span: width channels at a time in assembly, what is
// left of the span in plain Go.
type wkvGroup struct {
	width     int
	forward   func(steps, stride int, y, k, v, block *float32)
	states    func(steps, stride int, k, v, y, gy, ct, st, block *float32)
	gradients func(steps, stride int, gk, gv, k, v, y, ct, st, block *float32)
}

var (
	group512 = wkvGroup{16, wkvAVX512, wkvStatesAVX512, wkvGradientsAVX512}
	group256 = wkvGroup{8, wkvAVX2, wkvStatesAVX2, wkvGradientsAVX2}
)

// slots is the block at the end of scratch memory.
type slots []float32

func (b slots) put(slot int, x []float32)  { copy(b[slot*lanes:(slot+1)*lanes], x) }
func (b slots) take(slot int, x []float32) { copy(x, b[slot*lanes:(slot+1)*lanes]) }

func (g *wkvGroup) wkv(s wkvSpan[float32], w, u, k, v, y []float32, a, b, p []float32, tmp []float32) {
	if s.steps == 0 {
		return
	}
	block := slots(tmp[len(tmp)-blockLen:])
	i := 0
	for ; i+g.width <= s.n; i += g.width {
		j := i + g.width
		block.put(slotW, w[i:j])
		block.put(slotU, u[i:j])
		block.put(slotA, a[i:j])
		block.put(slotB, b[i:j])
		block.put(slotP, p[i:j])
		at := s.lo + i
		g.forward(s.steps, 4*s.stride, &y[at], &k[at], &v[at], &block[0])
		block.take(slotA, a[i:j])
		block.take(slotB, b[i:j])
		block.take(slotP, p[i:j])
	}
	if i < s.n {
		s.lo, s.n = s.lo+i, s.n-i
		wkvForward(s, w[i:], u[i:], k, v, y, a[i:], b[i:], p[i:], tmp)
	}
}

func (g *wkvGroup) wkvBackward(s wkvSpan[float32], w, u, k, v, y, gy []float32, a, b, p []float32, al, be, rho []float32, gw, gu, gk, gv []float32, tmp []float32) {
	if s.steps == 0 || s.n < g.width {
		wkvBackward(s, w, u, k, v, y, gy, a, b, p, al, be, rho, gw, gu, gk, gv, tmp)
		return
	}
	block := slots(tmp[len(tmp)-blockLen:])
	ct, st := tmp[:s.steps*g.width], tmp[s.steps*g.width:2*s.steps*g.width]
	last := (s.steps - 1) * g.width
	i := 0
	for ; i+g.width <= s.n; i += g.width {
		j, at := i+g.width, s.lo+i
		end := (s.steps-1)*s.stride + at
		clear(block)
		block.put(slotW, w[i:j])
		block.put(slotU, u[i:j])
		block.put(slotA, a[i:j])
		block.put(slotB, b[i:j])
		block.put(slotP, p[i:j])
		block.put(slotGW, gw[i:j])
		block.put(slotGU, gu[i:j])
		g.states(s.steps, 4*s.stride, &k[at], &v[at], &y[at], &gy[at], &ct[0], &st[0], &block[0])
		block.take(slotA, a[i:j])
		block.take(slotB, b[i:j])
		block.take(slotP, p[i:j])
		block.take(slotGW, gw[i:j])
		block.take(slotGU, gu[i:j])
		da, db := block[slotDA*lanes:][:g.width], block[slotDB*lanes:][:g.width]
		following(da, db, p[i:j], al[i:j], be[i:j], rho[i:j], gw[i:j], block[slotU*lanes:][:g.width])
		block.put(slotU, u[i:j])
		block.put(slotAl, al[i:j])
		block.put(slotBe, be[i:j])
		block.put(slotRho, rho[i:j])
		g.gradients(s.steps, -4*s.stride, &gk[end], &gv[end], &k[end], &v[end], &y[end], &ct[last], &st[last], &block[0])
		block.take(slotAl, al[i:j])
		block.take(slotBe, be[i:j])
		block.take(slotRho, rho[i:j])
	}
	if i < s.n {
		s.lo, s.n = s.lo+i, s.n-i
		wkvBackward(s, w[i:], u[i:], k, v, y, gy, a[i:], b[i:], p[i:], al[i:], be[i:], rho[i:], gw[i:], gu[i:], gk, gv, tmp)
	}
}

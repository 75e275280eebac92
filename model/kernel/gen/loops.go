package main

import (
	"fmt"
	"strings"
)

// exp is e^x of path.go's exp32, step by step the same.
func (l *loop) exp(x *value) *value {
	const round = 3 << 22
	t := l.plus(l.times(x, l.konst(1.44269504088896341)), l.konst(round))
	n := l.minus(t, l.konst(round))
	r := l.minus(x, l.times(n, l.konst(0.693359375)))
	r = l.minus(r, l.times(n, l.konst(-2.12194440e-4)))
	p := l.plus(l.times(r, l.konst(1.9875691500e-4)), l.konst(1.3981999507e-3))
	p = l.plus(l.times(p, r), l.konst(8.3334519073e-3))
	p = l.plus(l.times(p, r), l.konst(4.1665795894e-2))
	p = l.plus(l.times(p, r), l.konst(1.6666665459e-1))
	p = l.plus(l.times(p, r), l.konst(5.0000001201e-1))
	p = l.plus(l.times(p, l.times(r, r)), r)
	p = l.plus(p, l.konst(1))
	e := l.intPlus(p, l.left(l.intMinus(t, l.konst(round)), 23))
	e = l.choose(less, x, l.konst(-86.5), l.konst(0), e)
	e = l.choose(greater, x, l.konst(88.72), l.bits(0x7f800000), e)
	return l.choose(unordered, x, x, x, e)
}

// split is wkv.go's: of e = e^-|x-z|, the exponentials of x-max and of z-max.
func (l *loop) split(x, z, e *value) (e1, e2 *value) {
	one := l.konst(1)
	return l.choose(atLeast, x, z, one, e), l.choose(atLeast, x, z, e, one)
}

// apart is -|x-z| as wkv.go has it: -max(x-z, z-x).
func (l *loop) apart(x, z *value) *value {
	return l.negative(l.larger(l.minus(x, z), l.minus(z, x)))
}

// loops writes all that works element by element. What each computes stands in the Go
// function of the same name.
func loops(a *asm, s isa) {
	simple := func(name, doc string, scalars int, params []string, body func(l *loop)) {
		l := newLoop(a, s, scalars, params...)
		body(l)
		l.emit(name+"Whole", doc)
		wrap(a, s, name, scalars, params)
	}
	simple("exp32", "computes x = e^x.", 0, []string{"x"}, func(l *loop) {
		l.store("x", l.exp(l.load("x")))
	})
	simple("sigmoid", "computes x = 1/(1+e^-x).", 0, []string{"x"}, func(l *loop) {
		e := l.exp(l.negative(l.load("x")))
		l.store("x", l.over(l.konst(1), l.plus(e, l.konst(1))))
	})
	simple("add", "computes y = a + b.", 0, []string{"y", "a", "b"}, func(l *loop) {
		l.store("y", l.plus(l.load("a"), l.load("b")))
	})
	simple("gate", "computes z = r·y.", 0, []string{"z", "r", "y"}, func(l *loop) {
		l.store("z", l.times(l.load("r"), l.load("y")))
	})
	simple("addGate", "computes y = a + r·v.", 0, []string{"y", "a", "r", "v"}, func(l *loop) {
		l.store("y", l.plus(l.load("a"), l.times(l.load("r"), l.load("v"))))
	})
	simple("sigmoidGateBackward", "computes dq = dz·y·(r·(1-r)) and dy = dz·r.", 0, []string{"dq", "dy", "dz", "r", "y"}, func(l *loop) {
		g, r, y := l.load("dz"), l.load("r"), l.load("y")
		dq := l.times(l.times(g, y), l.times(r, l.minus(l.konst(1), r)))
		dy := l.times(g, r)
		l.store("dq", dq)
		l.store("dy", dy)
	})
	simple("squaredReLU", "computes y = max(x, 0)².", 0, []string{"y", "x"}, func(l *loop) {
		v := l.larger(l.konst(0), l.load("x"))
		l.store("y", l.times(v, v))
	})
	simple("squaredReLUBackward", "computes dx = dy·(2·max(x, 0)).", 0, []string{"dx", "dy", "x"}, func(l *loop) {
		v := l.times(l.larger(l.konst(0), l.load("x")), l.konst(2))
		l.store("dx", l.times(l.load("dy"), v))
	})
	simple("round16", "rounds x to bfloat16, still as float32.", 0, []string{"dst", "x"}, func(l *loop) {
		x := l.load("x")
		up := l.intPlus(l.intPlus(x, l.bits(0x7fff)), l.and(l.right(x, 16), l.bits(1))) // a tie to even
		tiny := l.and(x, l.bits(1<<31))
		r := l.choose(less, l.and(x, l.bits(1<<31-1)), l.bits(1<<23), tiny, l.and(up, l.bits(0xffff<<16)))
		l.store("dst", l.choose(unordered, x, x, x, r))
	})
	simple("scale", "computes y = y·a.", 1, []string{"y"}, func(l *loop) {
		l.store("y", l.times(l.load("y"), l.scalar(0)))
	})
	simple("subtract", "computes y = x - a.", 1, []string{"y", "x"}, func(l *loop) {
		l.store("y", l.minus(l.load("x"), l.scalar(0)))
	})
	simple("axpy", "computes y = y + a·x.", 1, []string{"y", "x"}, func(l *loop) {
		l.store("y", l.plus(l.load("y"), l.times(l.load("x"), l.scalar(0))))
	})
	simple("mix", "computes y = h·mu + prev·(1-mu).", 0, []string{"y", "h", "prev", "mu"}, func(l *loop) {
		m := l.load("mu")
		p := l.times(l.load("prev"), l.minus(l.konst(1), m))
		l.store("y", l.plus(l.times(l.load("h"), m), p))
	})
	for _, add := range []bool{false, true} {
		name, doc := "mixBackward", "computes sums += dy·(h-prev) and dh = mu·dy + (1-mu)·next."
		if add {
			name, doc = "mixBackwardAdd", "is mixBackward that adds to dh."
		}
		simple(name, doc, 0, []string{"dh", "sums", "dy", "next", "h", "prev", "mu"}, func(l *loop) {
			d, m := l.load("dy"), l.load("mu")
			l.store("sums", l.plus(l.load("sums"), l.times(d, l.minus(l.load("h"), l.load("prev")))))
			v := l.plus(l.times(m, d), l.times(l.minus(l.konst(1), m), l.load("next")))
			if add {
				v = l.plus(v, l.load("dh"))
			}
			l.store("dh", v)
		})
	}
	simple("norm", "computes y = (y·r)·g + b.", 1, []string{"y", "gain", "b"}, func(l *loop) {
		l.store("y", l.plus(l.times(l.times(l.load("y"), l.scalar(0)), l.load("gain")), l.load("b")))
	})
	simple("normBackward", "computes xh = (x-mean)·r, dh = dy·g, sg += dy·xh, sb += dy.", 2, []string{"xh", "dh", "sg", "sb", "dy", "x", "gain"}, func(l *loop) {
		v := l.load("dy")
		h := l.times(l.minus(l.load("x"), l.scalar(0)), l.scalar(1))
		l.store("xh", h)
		l.store("dh", l.times(v, l.load("gain")))
		l.store("sg", l.plus(l.load("sg"), l.times(v, h)))
		l.store("sb", l.plus(l.load("sb"), v))
	})
	for _, add := range []bool{false, true} {
		name, doc := "normInput", "computes dx = (dh - m1 - xh·m2)·r."
		if add {
			name, doc = "normInputAdd", "is normInput that adds to dx."
		}
		simple(name, doc, 3, []string{"dx", "dh", "xh"}, func(l *loop) {
			v := l.minus(l.minus(l.load("dh"), l.scalar(0)), l.times(l.load("xh"), l.scalar(1)))
			v = l.times(v, l.scalar(2))
			if add {
				v = l.plus(v, l.load("dx"))
			}
			l.store("dx", v)
		})
	}
	simple("adamW", "does a step of the optimizer; scalars are scale, b1, 1-b1, b2, 1-b2, keep, step, eps.", 8, []string{"p", "grad", "m", "v"}, func(l *loop) {
		x := l.times(l.load("grad"), l.scalar(0))
		m := l.plus(l.times(l.load("m"), l.scalar(1)), l.times(x, l.scalar(2)))
		l.store("m", m)
		v := l.plus(l.times(l.load("v"), l.scalar(3)), l.times(l.times(x, l.scalar(4)), x))
		l.store("v", v)
		down := l.over(l.times(m, l.scalar(6)), l.plus(l.root(v), l.scalar(7)))
		l.store("p", l.minus(l.times(l.load("p"), l.scalar(5)), down))
	})
	reductions(a, s)
	wkv(a, s)
}

// reductions leave 16 lanes for Go to fold: slot 0 of the block.
func reductions(a *asm, s isa) {
	for _, r := range []struct {
		name, doc string
		params    []string
		term      func(l *loop, lane *value, at int) *value
	}{
		{"sumLanes", "adds x to 16 lanes.", []string{"lanes", "x"}, func(l *loop, lane *value, at int) *value {
			return l.plus(lane, l.loadAt("x", at))
		}},
		{"dotLanes", "adds x·y to 16 lanes.", []string{"lanes", "x", "y"}, func(l *loop, lane *value, at int) *value {
			return l.plus(lane, l.times(l.loadAt("x", at), l.loadAt("y", at)))
		}},
		{"maxLanes", "puts the larger of itself and x into 16 lanes.", []string{"lanes", "x"}, func(l *loop, lane *value, at int) *value {
			return l.larger(lane, l.loadAt("x", at))
		}},
	} {
		l := newLoop(a, s, 0, r.params...)
		l.step = 16
		for at := 0; at < 16; at += s.lanes {
			c := l.carryAt("lanes", at)
			c.next = r.term(l, c.v, at)
		}
		l.emit(r.name, r.doc)
	}
	l := newLoop(a, s, 1, "lanes", "x")
	l.step = 16
	for at := 0; at < 16; at += s.lanes {
		c := l.carryAt("lanes", at)
		e := l.exp(l.minus(l.loadAt("x", at), l.scalar(0)))
		l.storeAt("x", at, e)
		c.next = l.plus(c.v, e)
	}
	l.emit("expSumLanes", "computes x = e^(x-top) and adds it to 16 lanes; top is the scalar.")
	squareLanes(a, s)
}

// squareLanes adds squares in float64: half a register of x fills one of lanes.
func squareLanes(a *asm, s isa) {
	a.begin("squareLanes"+s.name, "adds the squares of n elements of x to 16 lanes, n a multiple of 16.", "n int, lanes *float64, x *float32", 3)
	a.op("MOVQ n+0(FP), CX")
	a.op("MOVQ lanes+8(FP), DI")
	a.op("MOVQ x+16(FP), SI")
	width := 4 * s.lanes
	regs := 128 / width
	for i := range regs {
		a.op("VMOVUPD %d(DI), %s%d", width*i, s.reg, i)
	}
	a.label("loop")
	for i := range regs {
		a.op("VCVTPS2PD %d(SI), %s%d", width/2*i, s.reg, regs+i)
		a.op("VMULPD %[1]s%[2]d, %[1]s%[2]d, %[1]s%[2]d", s.reg, regs+i)
		a.op("VADDPD %[1]s%[2]d, %[1]s%[3]d, %[1]s%[3]d", s.reg, regs+i, i)
	}
	a.op("ADDQ $64, SI")
	a.op("SUBQ $16, CX")
	a.op("JNZ loop")
	for i := range regs {
		a.op("VMOVUPD %s%d, %d(DI)", s.reg, i, width*i)
	}
	a.op("VZEROUPPER")
	a.op("RET\n")
}

// wkv writes the recurrence, 16 channels or 8 at a time. The block's slots are named in
// wkv_amd64.go.
func wkv(a *asm, s isa) {
	l := newLoop(a, s, 0, "y", "k", "v", "block")
	l.strided = true
	w, u := l.fixed("block", 0), l.fixed("block", 1)
	ca, cb, cp := l.carry("block", 2), l.carry("block", 3), l.carry("block", 4)
	k, v := l.load("k"), l.load("v")
	uk := l.plus(k, u)
	e1, e2 := l.split(cp.v, uk, l.exp(l.apart(cp.v, uk)))
	num := l.plus(l.times(e1, ca.v), l.times(e2, v))
	den := l.plus(l.times(e1, cb.v), e2)
	l.store("y", l.over(num, den))
	pw := l.plus(cp.v, w)
	e1, e2 = l.split(pw, k, l.exp(l.apart(pw, k)))
	ca.next = l.plus(l.times(e1, ca.v), l.times(e2, v))
	cb.next = l.plus(l.times(e1, cb.v), e2)
	cp.next = l.larger(pw, k)
	l.emit("wkv", "is wkvForward over 16 lanes of channels.")

	// Back, forth: what the backward needs of the states.
	l = newLoop(a, s, 0, "k", "v", "y", "gy", "ct", "st", "block")
	l.strided, l.packed = true, map[string]int{"ct": 1, "st": 1}
	w, u = l.fixed("block", 0), l.fixed("block", 1)
	ca, cb, cp = l.carry("block", 2), l.carry("block", 3), l.carry("block", 4)
	da, db, gw, gu := l.carry("block", 5), l.carry("block", 6), l.carry("block", 7), l.carry("block", 8)
	k, v = l.load("k"), l.load("v")
	uk = l.plus(k, u)
	e1, e2 = l.split(cp.v, uk, l.exp(l.apart(cp.v, uk)))
	c := l.over(l.load("gy"), l.plus(l.times(e1, cb.v), e2))
	yt := l.load("y")
	gw.next = l.plus(gw.v, l.times(l.times(c, e1), l.minus(da.v, l.times(db.v, yt))))
	gu.next = l.plus(gu.v, l.times(l.times(c, e2), l.minus(v, yt)))
	l.store("ct", c)
	l.store("st", l.negative(l.larger(cp.v, uk)))
	pw = l.plus(cp.v, w)
	e1, e2 = l.split(pw, k, l.exp(l.apart(pw, k)))
	da.next = l.times(e1, l.plus(ca.v, da.v))
	db.next = l.times(e1, l.plus(cb.v, db.v))
	ca.next = l.plus(l.times(e1, ca.v), l.times(e2, v))
	cb.next = l.plus(l.times(e1, cb.v), e2)
	cp.next = l.larger(pw, k)
	l.emit("wkvStates", "is the first half of wkvBackward over 16 lanes of channels.")

	l = newLoop(a, s, 0, "gk", "gv", "k", "v", "y", "ct", "st", "block")
	l.strided, l.packed = true, map[string]int{"ct": -1, "st": -1}
	w, u = l.fixed("block", 0), l.fixed("block", 1)
	al, be, rho := l.carry("block", 2), l.carry("block", 3), l.carry("block", 4)
	k, v = l.load("k"), l.load("v")
	sr := l.load("st")
	cr := l.load("ct")
	ci := l.times(cr, l.exp(l.plus(l.plus(sr, u), k)))
	f := l.exp(l.plus(k, rho.v))
	yt = l.load("y")
	l.store("gk", l.plus(l.times(ci, l.minus(v, yt)), l.times(f, l.plus(l.times(al.v, v), be.v))))
	l.store("gv", l.plus(ci, l.times(f, al.v)))
	wr := l.plus(rho.v, w)
	e1, e2 = l.split(wr, sr, l.exp(l.apart(wr, sr)))
	e2 = l.times(e2, cr)
	al.next = l.plus(l.times(e1, al.v), e2)
	be.next = l.minus(l.times(e1, be.v), l.times(e2, yt))
	rho.next = l.larger(wr, sr)
	l.emit("wkvGradients", "is the second half of wkvBackward over 16 lanes of channels; the rows go backwards.")
}

// wrap writes the Go function that does whole registers in assembly and the rest as the
// plain function of that name does.
func wrap(a *asm, s isa, name string, scalars int, params []string) {
	first, heads, tails := params[0], []string{"n"}, []string{}
	for _, p := range params {
		heads = append(heads, "&"+p+"[0]")
		tails = append(tails, p+"[n:]")
	}
	signature := strings.Join(params, ", ") + " []float32"
	var names []string
	for i := range scalars {
		names = append(names, fmt.Sprintf("s%d", i))
	}
	set, same := "", ""
	if len(params) > 1 { // none is shorter than the first
		var cut []string
		for _, p := range params[1:] {
			cut = append(cut, fmt.Sprintf("%s[:len(%s)]", p, first))
		}
		same = fmt.Sprintf("\t%s = %s\n", strings.Join(params[1:], ", "), strings.Join(cut, ", "))
	}
	if scalars > 0 {
		signature += ", " + strings.Join(names, ", ") + " float32"
		heads = append(heads, "&s[0]")
		tails = append(tails, names...)
		set = fmt.Sprintf("\t\ts := [...]float32{%s}\n", strings.Join(names, ", "))
	}
	fmt.Fprintf(&a.decl, `
func %[1]s%[2]s(%[3]s) {
%[9]s	n := len(%[4]s) &^ %[5]d
	if n > 0 {
%[6]s		%[1]sWhole%[2]s(%[7]s)
	}
	if n < len(%[4]s) {
		%[1]s(%[8]s)
	}
}
`, name, s.name, signature, first, s.lanes-1, set, strings.Join(heads, ", "), strings.Join(tails, ", "), same)
}

package main

import (
	"fmt"
	"math"
	"strings"
)

// isa is an instruction set and the width of its registers.
type isa struct {
	name  string // suffix of function names
	reg   string // "Z" or "Y"
	lanes int    // float32 in a register
	regs  int
}

var (
	avx512 = isa{"AVX512", "Z", 16, 32}
	avx2   = isa{"AVX2", "Y", 8, 16}
)

// asm collects the assembly and the Go declarations of one file.
type asm struct {
	text, decl strings.Builder
	consts     map[uint32]bool
}

func (a *asm) op(format string, args ...any) { fmt.Fprintf(&a.text, "\t"+format+"\n", args...) }
func (a *asm) label(name string)             { fmt.Fprintf(&a.text, "%s:\n", name) }

// begin starts a function of n pointer-sized arguments.
func (a *asm) begin(name, doc, params string, n int) {
	fmt.Fprintf(&a.text, "// func %s(%s)\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, params, name, 8*n)
	fmt.Fprintf(&a.decl, "\n// %s %s\n//\n//go:noescape\nfunc %s(%s)\n", name, doc, name, params)
}

// constant is the memory operand of a value in all 16 lanes.
func (a *asm) constant(bits uint32) string {
	a.consts[bits] = true
	return fmt.Sprintf("c%08x<>(SB)", bits)
}

// pointers are the registers that hold a loop's pointers, in order. CX counts, BX and AX
// are free.
var pointers = []string{"DI", "SI", "DX", "R8", "R9", "R10", "R11", "R12", "R13", "R15"}

// value is what an instruction of a loop computes, or a place in memory.
type value struct {
	op   string
	args []*value
	mem  string // a memory operand: of a constant, or of a place that does not move
	reg  int    // dedicated register of a carried value or scalar; -1: to be allocated
	imm  int
	last int // index of the last instruction that reads it
	at   int // register
}

// loop is a function whose body is done once for each register's worth of elements, or
// once for each of steps rows a stride apart. Its values are written down in static single
// assignment; registers are handed out when it is emitted.
type loop struct {
	a       *asm
	isa     isa
	params  []string
	scalars int
	strided bool
	step    int // elements an iteration takes, where it is not a register
	body    []*value
	carried []*carry
	moves   map[string]bool
	packed  map[string]int // of a strided loop: parameters whose rows follow each other; 1 forwards, -1 backwards
}

// carry is a value that an iteration takes from the one before.
type carry struct {
	v, next *value
	mem     string
}

// newLoop starts a loop over n elements. The function's parameters are n (or steps and
// stride, in bytes), the pointers that params names, and a pointer to the scalars.
func newLoop(a *asm, s isa, scalars int, params ...string) *loop {
	return &loop{a: a, isa: s, params: params, scalars: scalars, moves: map[string]bool{}}
}

func (l *loop) pointer(name string) string {
	for i, p := range l.params {
		if p == name {
			return pointers[i]
		}
	}
	panic("no parameter " + name)
}

func (l *loop) add(v *value) *value {
	v.reg, v.at = -1, -1
	l.body = append(l.body, v)
	return v
}

// load reads the elements at hand of an array.
func (l *loop) load(arg string) *value {
	l.moves[arg] = true
	return l.add(&value{op: "load", mem: "(" + l.pointer(arg) + ")"})
}

// loadAt reads elements further on.
func (l *loop) loadAt(arg string, at int) *value {
	l.moves[arg] = true
	return l.add(&value{op: "load", mem: fmt.Sprintf("%d(%s)", 4*at, l.pointer(arg))})
}

// fixed is a slot of a block, which stands still.
func (l *loop) fixed(arg string, slot int) *value {
	return &value{op: "mem", mem: l.slot(arg, slot), reg: -1, at: -1}
}

// slot is the place in memory of 16 elements of a block.
func (l *loop) slot(arg string, slot int) string {
	return fmt.Sprintf("%d(%s)", 64*slot, l.pointer(arg))
}

func (l *loop) store(arg string, v *value) {
	l.moves[arg] = true
	l.add(&value{op: "store", mem: "(" + l.pointer(arg) + ")", args: []*value{v}})
}

// storeAt writes elements further on.
func (l *loop) storeAt(arg string, at int, v *value) {
	l.moves[arg] = true
	l.add(&value{op: "store", mem: fmt.Sprintf("%d(%s)", 4*at, l.pointer(arg)), args: []*value{v}})
}

func (l *loop) konst(x float32) *value { return l.bits(math.Float32bits(x)) }
func (l *loop) bits(b uint32) *value {
	return &value{op: "mem", mem: l.a.constant(b), reg: -1, at: -1}
}

// scalar is the i-th of the scalars, in all lanes.
func (l *loop) scalar(i int) *value {
	return &value{op: "scalar", imm: i, reg: i, at: i}
}

// carry is a value that starts as what a slot of a block holds and is written back there
// at the end.
func (l *loop) carry(arg string, slot int) *carry {
	c := &carry{v: &value{op: "carried", reg: l.scalars + len(l.carried)}, mem: l.slot(arg, slot)}
	c.v.at = c.v.reg
	l.carried = append(l.carried, c)
	return c
}

// carryAt is carry for elements of a block one by one.
func (l *loop) carryAt(arg string, at int) *carry {
	c := l.carry(arg, 0)
	c.mem = fmt.Sprintf("%d(%s)", 4*at, l.pointer(arg))
	return c
}

func (l *loop) two(op string, x, y *value) *value { return l.add(&value{op: op, args: []*value{x, y}}) }

func (l *loop) plus(x, y *value) *value  { return l.two("VADDPS", x, y) }
func (l *loop) minus(x, y *value) *value { return l.two("VSUBPS", x, y) }
func (l *loop) times(x, y *value) *value { return l.two("VMULPS", x, y) }
func (l *loop) over(x, y *value) *value  { return l.two("VDIVPS", x, y) }

// larger is x > y ? x : y, which is what the instruction does also for NaN and zeros.
func (l *loop) larger(x, y *value) *value { return l.two("VMAXPS", x, y) }

// negative is -x, by its sign bit.
func (l *loop) negative(x *value) *value {
	return l.two(map[string]string{"Z": "VPXORD", "Y": "VPXOR"}[l.isa.reg], x, l.bits(1<<31))
}
func (l *loop) intPlus(x, y *value) *value  { return l.two("VPADDD", x, y) }
func (l *loop) intMinus(x, y *value) *value { return l.two("VPSUBD", x, y) }
func (l *loop) root(x *value) *value        { return l.add(&value{op: "VSQRTPS", args: []*value{x}}) }
func (l *loop) and(x, y *value) *value {
	return l.two(map[string]string{"Z": "VPANDD", "Y": "VPAND"}[l.isa.reg], x, y)
}
func (l *loop) right(x *value, n int) *value {
	return l.add(&value{op: "VPSRLD", args: []*value{x}, imm: n})
}
func (l *loop) left(x *value, n int) *value {
	return l.add(&value{op: "VPSLLD", args: []*value{x}, imm: n})
}

// Predicates of a comparison.
const (
	less      = 1
	unordered = 3
	atLeast   = 13
	greater   = 14
)

// choose is t where x and y stand to each other as the predicate says, else f.
func (l *loop) choose(predicate int, x, y, t, f *value) *value {
	return l.add(&value{op: "choose", args: []*value{x, y, t, f}, imm: predicate})
}

// emit writes the function.
func (l *loop) emit(name, doc string) {
	a, n := l.a, len(l.params)
	head := "n int"
	first := 1
	if l.strided {
		head, first = "steps, stride int", 2
	}
	if l.step == 0 {
		l.step = l.isa.lanes
	}
	params := head + ", " + strings.Join(l.params, ", ") + " *float32"
	if l.scalars > 0 {
		params += ", scalars *float32"
		n++
	}
	a.begin(name+l.isa.name, doc, params, n+first)
	count := "n"
	if l.strided {
		count = "steps"
		a.op("MOVQ stride+8(FP), BX")
	}
	a.op("MOVQ %s+0(FP), CX", count)
	for i, p := range l.params {
		a.op("MOVQ %s+%d(FP), %s", p, 8*(first+i), pointers[i])
	}
	if l.scalars > 0 {
		a.op("MOVQ scalars+%d(FP), AX", 8*(first+len(l.params)))
		for i := range l.scalars {
			a.op("VBROADCASTSS %d(AX), %s%d", 4*i, l.isa.reg, i)
		}
	}
	for _, c := range l.carried {
		a.op("VMOVUPS %s, %s", c.mem, l.name(c.v))
	}
	a.op("TESTQ CX, CX")
	a.op("JLE done")
	a.op("PCALIGN $32")
	a.label("loop")
	l.emitBody()
	for _, p := range l.params {
		switch {
		case !l.moves[p]:
		case l.packed[p] != 0:
			a.op("ADDQ $%d, %s", l.packed[p]*4*l.isa.lanes, l.pointer(p))
		case l.strided:
			a.op("ADDQ BX, %s", l.pointer(p))
		default:
			a.op("ADDQ $%d, %s", 4*l.step, l.pointer(p))
		}
	}
	if l.strided {
		a.op("DECQ CX")
	} else {
		a.op("SUBQ $%d, CX", l.step)
	}
	a.op("JG loop")
	a.label("done")
	for _, c := range l.carried {
		a.op("VMOVUPS %s, %s", l.name(c.v), c.mem)
	}
	a.op("VZEROUPPER")
	a.op("RET\n")
}

func (l *loop) name(v *value) string {
	if v.op == "mem" {
		return v.mem
	}
	return fmt.Sprintf("%s%d", l.isa.reg, v.at)
}

// emitBody hands out registers in the order of the instructions: a value's register is
// free again after the last instruction that reads it.
func (l *loop) emitBody() {
	for i, v := range l.body {
		for _, x := range v.args {
			x.last = i
		}
	}
	for _, c := range l.carried {
		c.next.last = len(l.body)
	}
	var free []int
	for r := l.isa.regs - 1; r >= l.scalars+len(l.carried); r-- {
		free = append(free, r)
	}
	take := func() int {
		if len(free) == 0 {
			panic("out of registers in a loop for " + l.isa.name)
		}
		r := free[len(free)-1]
		free = free[:len(free)-1]
		return r
	}
	for i, v := range l.body {
		args := v.args
		var temps []int
		if v.op == "choose" || len(args) == 2 && args[0].op == "mem" { // only the second may be in memory
			args = append([]*value(nil), args...)
			for j := range args {
				if args[j].op == "mem" && (v.op == "choose" && j != 1 || v.op != "choose" && j == 0) {
					r := take()
					temps = append(temps, r)
					l.a.op("VMOVUPS %s, %s%d", args[j].mem, l.isa.reg, r)
					args[j] = &value{op: "temp", at: r, reg: r}
				}
			}
		}
		mask := -1
		if v.op == "choose" && l.isa.reg == "Y" {
			mask = take()
		}
		for _, x := range v.args {
			if x.reg < 0 && x.at >= 0 && x.last == i {
				free = append(free, x.at)
				x.last = -1 // once, also where it is two arguments
			}
		}
		switch c := l.carryOf(v); {
		case v.op == "store":
		case c != nil && c.v.last <= i: // what it follows is not read any more
			v.at, v.reg = c.v.at, c.v.reg
		default:
			v.at = take()
		}
		l.instruction(v, args, mask)
		free = append(free, temps...)
		if mask >= 0 {
			free = append(free, mask)
		}
		if v.op != "store" && v.last == 0 && i > 0 && !l.used(v) {
			panic("a value of a loop is not used")
		}
	}
	for _, c := range l.carried {
		if c.next.at != c.v.at {
			l.a.op("VMOVAPS %s, %s", l.name(c.next), l.name(c.v))
		}
	}
}

func (l *loop) carryOf(v *value) *carry {
	for _, c := range l.carried {
		if c.next == v {
			return c
		}
	}
	return nil
}

func (l *loop) used(v *value) bool {
	for _, w := range l.body {
		for _, x := range w.args {
			if x == v {
				return true
			}
		}
	}
	for _, c := range l.carried {
		if c.next == v {
			return true
		}
	}
	return false
}

func (l *loop) instruction(v *value, args []*value, mask int) {
	a, n := l.a, l.name
	switch v.op {
	case "load":
		a.op("VMOVUPS %s, %s", v.mem, n(v))
	case "store":
		a.op("VMOVUPS %s, %s", n(args[0]), v.mem)
	case "VSQRTPS":
		a.op("VSQRTPS %s, %s", n(args[0]), n(v))
	case "VPSLLD", "VPSRLD":
		a.op("%s $%d, %s, %s", v.op, v.imm, n(args[0]), n(v))
	case "choose":
		if l.isa.reg == "Z" {
			a.op("VCMPPS $%d, %s, %s, K1", v.imm, n(args[1]), n(args[0]))
			a.op("VBLENDMPS %s, %s, K1, %s", n(args[2]), n(args[3]), n(v))
			return
		}
		a.op("VCMPPS $%d, %s, %s, Y%d", v.imm, n(args[1]), n(args[0]), mask)
		a.op("VBLENDVPS Y%d, %s, %s, %s", mask, n(args[2]), n(args[3]), n(v))
	default:
		a.op("%s %s, %s, %s", v.op, n(args[1]), n(args[0]), n(v))
	}
}

package main

// peak writes a loop of multiply-adds on registers alone: what a processor can do at most.
// A round is 24 of them, or 12 where there are but 16 registers.
func peak(a *asm, s isa, name string, multiply func(b, a, acc int) string) {
	chains := s.regs * 3 / 4
	a.begin(name, "does n rounds of multiply-adds on registers.", "n int", 1)
	a.op("MOVQ n+0(FP), CX")
	for r := range s.regs {
		a.op("VXORPS %s%d, %s%d, %s%d", s.reg, r, s.reg, r, s.reg, r)
	}
	a.op("PCALIGN $32")
	a.label("loop")
	for c := range chains {
		a.op("%s", multiply(chains, chains+1, c))
	}
	a.op("DECQ CX")
	a.op("JNZ loop")
	a.op("VZEROUPPER")
	a.op("RET\n")
}

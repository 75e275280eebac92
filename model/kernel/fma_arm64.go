package kernel

// fma32 is x·y + z, rounded once: what the compiler makes of it on this machine is FMADDS.
// TestFMA holds it to that.
func fma32(x, y, z float32) (r float32, ok bool) { return x*y + z, true }

// fma32Odd is never needed here.
func fma32Odd(x, y, z float32) float32 { return x*y + z }

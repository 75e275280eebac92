package dag

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestIntervalsHold walks the history of two stores, recorded on a machine that had other
// work to do: each part is estimated from those before it alone. The interval must hold
// what the part took eight times in ten.
func TestIntervalsHold(t *testing.T) {
	b, err := os.ReadFile("testdata/history.tsv")
	if err != nil {
		t.Fatal(err)
	}
	past := map[string][]remembered{}
	var held, known, all, joinsHeld, joins int
	var off float64
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Split(line, "\t") // store, kind, part or join, config, bytes of input, seconds
		bytes, _ := strconv.ParseInt(f[4], 10, 64)
		seconds, err := strconv.ParseFloat(f[5], 64)
		if err != nil {
			t.Fatal(err)
		}
		of := f[0] + " " + f[1]
		r := remembered{observed{bytes: float64(bytes), seconds: seconds, cpu: -1}, f[3], f[2] == "join"}
		all++
		if s, ok := modelOf(past[of], r.config, r.join).expect(bytes); ok {
			known++
			in := s.Low <= seconds && seconds <= s.High
			if in {
				held++
			}
			if r.join {
				joins++
				if in {
					joinsHeld++
				}
			}
			off += math.Abs(math.Log2(seconds / s.Seconds))
			if !(s.Low <= s.Seconds && s.Seconds <= s.High) {
				t.Errorf("%s: the median %g is outside its interval %g to %g", line, s.Seconds, s.Low, s.High)
			}
		}
		past[of] = append([]remembered{r}, past[of]...) // newest first
		past[of] = past[of][:min(len(past[of]), historyLength)]
	}
	t.Logf("%d of %d parts could be estimated; the interval held %d (%.0f %%), of joins %d of %d; the median was off by a factor of %.2f in the mean",
		known, all, held, 100*float64(held)/float64(known), joinsHeld, joins, math.Exp2(off/float64(known)))
	if held*100 < known*80 {
		t.Error("the intervals hold less than 80 of 100")
	}
	if known*100 < all*90 {
		t.Error("too few parts could be estimated for this to mean anything")
	}
}

// TestFit holds what is made of parts whose law is known: fixed and rate are found
// whatever a fifth of the parts say; sizes far from those seen are unknown.
func TestFit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var seen []observed
	for i := range 60 {
		o := observed{bytes: float64(1000 + r.IntN(1_000_000))}
		o.seconds = (0.2 + 3e-6*o.bytes) * math.Exp(0.1*r.NormFloat64())
		o.cpu = o.seconds / 2
		if i%5 == 0 {
			o.seconds *= 20 // the machine was busy
		}
		seen = append(seen, o)
	}
	m := fit(seen, true)
	for _, n := range []int64{5000, 500_000, 3_000_000} {
		s, ok := m.expect(n)
		want := 0.2 + 3e-6*float64(n)
		if !ok || s.Seconds < want*0.7 || s.Seconds > want*1.4 || s.Low > want || s.High < want {
			t.Errorf("%d bytes: %+v %v, the law says %.2f s", n, s, ok, want)
		}
	}
	near, _ := m.expect(1_000_000)
	far, _ := m.expect(100_000_000)
	if far.High/far.Low < 2*near.High/near.Low {
		t.Errorf("far from what was seen the interval is no wider: %+v, %+v", near, far)
	}
	if s, ok := m.expect(1 << 50); ok {
		t.Errorf("a part of a pebibyte takes %+v?", s)
	}

	same := fit([]observed{{bytes: 1000, seconds: 1, cpu: -1}, {bytes: 1000, seconds: 1.1, cpu: -1}, {bytes: 1000, seconds: 0.9, cpu: -1}}, true)
	if s, ok := same.expect(5000); !ok || s.Low > 1 || s.High < 5 {
		t.Errorf("parts of one size seen: %+v %v; five times that size takes 1 s or 5 s, who knows", s, ok)
	}
	if s, ok := same.expect(1_000_000); ok {
		t.Errorf("parts of one size seen; a thousand times that takes %+v?", s)
	}
	one, _ := fit([]observed{{bytes: 10, seconds: 1, cpu: -1}}, true).expect(10)
	other, _ := fit([]observed{{bytes: 10, seconds: 1, cpu: -1}}, false).expect(10)
	if one.High < 2 || other.High < 4 || one.Low > 0.5 || other.Low > 0.25 {
		t.Errorf("one part seen: %+v, with another config: %+v", one, other)
	}
	if fit(nil, true) != nil {
		t.Error("nothing seen fits")
	}
	if _, ok := (*model)(nil).expect(10); ok {
		t.Error("nothing seen, and yet it is known")
	}
}

// TestWall holds the time of a whole run against schedules that can be told by hand.
func TestWall(t *testing.T) {
	chain := func(k int) (nodes []*node) {
		for i := range k {
			n := &node{feeds: map[string][]*feed{}}
			if i > 0 {
				n.feeds["in"] = []*feed{{from: nodes[i-1]}}
			}
			nodes = append(nodes, n)
		}
		return nodes
	}
	second := Span{1, 1, 1}
	for _, c := range []struct {
		name        string
		parts, jobs int
		stages      int
		want, most  float64
	}{
		{"one part after the other gains nothing by more jobs", 1, 4, 5, 5, 5},
		{"a hundred parts share four jobs", 100, 4, 1, 25, 25.75},
		{"one job does all there is", 10, 1, 3, 30, 30},
	} {
		g := &graph{nodes: chain(c.stages)}
		takes := map[*node]*Estimate{}
		for _, n := range g.nodes {
			all := second.times(float64(c.parts))
			takes[n] = &Estimate{Span: all, share: all.times(1 / float64(c.jobs)), longest: second}
		}
		if s := g.wall(takes, c.jobs); math.Abs(s.Seconds-c.want) > 1e-9 || math.Abs(s.High-c.most) > 1e-9 {
			t.Errorf("%s: %+v, want %g and at most %g", c.name, s, c.want, c.most)
		}
	}
}

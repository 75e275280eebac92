package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// oracle is the model straight from its definition, over maps of strings.
type oracle struct {
	counts   []map[string]int // by order, from 1
	discount [][4]float64
}

func newOracle(texts []string, order int) *oracle {
	o := &oracle{}
	for n := 1; n <= order; n++ {
		c := map[string]int{}
		before := map[string]map[byte]bool{}
		for _, t := range texts {
			s := "\x00" + t
			for i := 0; i+n <= len(s); i++ {
				g := s[i : i+n]
				switch {
				case n == order:
					if i > 0 || n > 1 {
						c[g]++
					}
				case i == 0:
					if n > 1 {
						c[g]++
					}
				default:
					if before[g] == nil {
						before[g] = map[byte]bool{}
					}
					before[g][s[i-1]] = true
				}
			}
		}
		for g, b := range before {
			c[g] += len(b)
		}
		var nk [5]float64
		for _, x := range c {
			if x < 5 {
				nk[x]++
			}
		}
		y := 0.0
		if nk[1] > 0 {
			y = nk[1] / (nk[1] + 2*nk[2])
		}
		var d [4]float64
		for k := 1; k <= 3; k++ {
			d[k] = 0.75
			if nk[k] > 0 && nk[k+1] > 0 {
				d[k] = float64(k) - float64(k+1)*y*nk[k+1]/nk[k]
			}
			d[k] = min(max(d[k], 0), float64(k))
		}
		o.counts = append(o.counts, c)
		o.discount = append(o.discount, d)
	}
	return o
}

func (o *oracle) probability(context string, w byte) float64 {
	order := min(len(o.counts), len(context)+1)
	p := 1.0 / 256
	for n := 1; n <= order; n++ {
		h := context[len(context)-(n-1):]
		total, free := 0.0, 0.0
		for g, c := range o.counts[n-1] {
			if strings.HasPrefix(g, h) {
				total += float64(c)
				free += o.discount[n-1][min(c, 3)]
			}
		}
		if total == 0 {
			break
		}
		seen := 0.0
		if c := o.counts[n-1][h+string([]byte{w})]; c > 0 {
			seen = float64(c) - o.discount[n-1][min(c, 3)]
		}
		p = (seen + free*p) / total
	}
	return p
}

func texts(r *rand.Rand) []string {
	t := make([]string, 1+r.IntN(6))
	for i := range t {
		b := make([]byte, r.IntN(60))
		for j := range b {
			b[j] = "aab\xffç"[r.IntN(6)]
		}
		t[i] = string(b)
	}
	return t
}

func TestNGramIsItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 150 {
		train, order := texts(r), 1+r.IntN(MaxOrder)
		m, err := TrainNGram(train, order)
		if err != nil {
			t.Fatal(err)
		}
		o := newOracle(train, order)
		test := texts(r)[0]
		var want float64
		for i := range len(test) {
			s := "\x00" + test[:i]
			want -= math.Log(o.probability(s[max(0, len(s)-order):], test[i]))
		}
		if got := m.Nats(test); math.Abs(got-want) > 1e-9*(1+want) {
			t.Fatalf("order %d, trained on %q: %q costs %v nats, want %v", order, train, test, got, want)
		}
	}
}

func TestNGramSumsToOne(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 30 {
		m, err := TrainNGram(texts(r), 5)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			h, have := uint64(0), 1
			for _, c := range []byte(texts(r)[0]) {
				h, have = h<<8|uint64(c), min(have+1, MaxOrder)
			}
			sum := 0.0
			for w := range 256 {
				p := m.probability(h, have, byte(w))
				if p <= 0 {
					t.Fatalf("byte %d is impossible", w)
				}
				sum += p
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Fatalf("after %x the probabilities add up to %v", h, sum)
			}
		}
	}
}

func TestNGramLearns(t *testing.T) {
	train := []string{strings.Repeat("A Constituição Federal de 1988. ", 50), strings.Repeat("O presidente da República. ", 50)}
	m, err := TrainNGram(train, 6)
	if err != nil {
		t.Fatal(err)
	}
	seen := m.Nats("A Constituição da República. ") / math.Ln2 / float64(len("A Constituição da República. "))
	strange := m.Nats("xkwq zzyx 77 vvb hjklm wxyz") / math.Ln2 / 27
	if seen > 2 || strange < 6 {
		t.Errorf("text like the training text costs %.2f bits a byte, noise %.2f", seen, strange)
	}
	back, _ := TrainNGram([]string{train[1], train[0]}, 6)
	if back.Nats(train[0]) != m.Nats(train[0]) {
		t.Error("the order of the texts matters")
	}
	if m.Order() != 6 || m.Size() == 0 {
		t.Errorf("order %d, %d n-grams", m.Order(), m.Size())
	}
}

func TestNGramOfNothing(t *testing.T) {
	m, err := TrainNGram(nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Nats("ab"); math.Abs(got-2*math.Log(256)) > 1e-12 {
		t.Errorf("untrained, two bytes cost %v nats, want %v", got, 2*math.Log(256))
	}
	for _, order := range []int{0, 9} {
		if _, err := TrainNGram(nil, order); err == nil {
			t.Errorf("order %d was accepted", order)
		}
	}
}

func TestCompressAfter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 50_000)
	for i := range noise {
		noise[i] = byte('a' + r.IntN(26))
	}
	z, err := CompressAfter([]string{string(noise)}, []string{string(noise[10_000:40_000])})
	if err != nil {
		t.Fatal(err)
	}
	if z.Alone < 15_000 || z.After > 500 {
		t.Errorf("%+v: text that stands in the training text must cost next to nothing after it", z)
	}
	if z.Window < 80_000 {
		t.Errorf("the window is %d bytes, less than what is compressed", z.Window)
	}
	again, _ := CompressAfter([]string{string(noise)}, []string{string(noise[10_000:40_000])})
	if fmt.Sprint(again) != fmt.Sprint(z) {
		t.Errorf("%+v, then %+v", z, again)
	}
}

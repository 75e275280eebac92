package main

import (
	"testing"
	"time"
)

func TestFlagValues(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "90m": 90 * time.Minute, "36h": 36 * time.Hour, "7d": 168 * time.Hour, "0.5d": 12 * time.Hour} {
		var v ageValue
		if err := v.Set(text); err != nil || time.Duration(v) != want {
			t.Errorf("%s is %s, %v", text, time.Duration(v), err)
		}
	}
	for text, want := range map[string]int64{"1": 1, "20GiB": 20 << 30, "1.5 kB": 1500, "64MiB": 64 << 20} {
		var v bytesValue
		if err := v.Set(text); err != nil || int64(v) != want {
			t.Errorf("%s is %d bytes, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-5m", "1e30d", "NaNd", "infd", "7", "soon"} {
		var v ageValue
		if err := v.Set(text); err == nil {
			t.Errorf("%q is a time: %s", text, time.Duration(v))
		}
	}
	for _, text := range []string{"", "0", "-1", "GiB", "inf", "NaN", "1e300", "20 apples"} {
		var v bytesValue
		if err := v.Set(text); err == nil {
			t.Errorf("%q is a size: %d", text, v)
		}
	}
}

// What a flag takes it shows, and takes again.
func FuzzAgeValue(f *testing.F) {
	for _, s := range []string{"0", "36h", "7d", "1.5d", "90m", "-1h", "d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var v, again ageValue
		if v.Set(s) != nil {
			return
		}
		if v < 0 {
			t.Fatalf("%q is %d", s, v)
		}
		if err := again.Set(v.String()); err != nil || again != v {
			t.Fatalf("%q is %s, which is %s: %v", s, v.String(), again.String(), err)
		}
	})
}

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ptbr-slm/pipeline/dag/pipelinefile"
)

// bytesValue is a flag that takes a size: 20GiB.
type bytesValue int64

func (v *bytesValue) Set(s string) error {
	n, err := pipelinefile.ParseBytes(s)
	*v = bytesValue(n)
	return err
}

func (v *bytesValue) String() string {
	if *v == 0 {
		return ""
	}
	return size(int64(*v))
}

func (v *bytesValue) Type() string { return "SIZE" }

// ageValue is a flag that takes a time with days, too: 7d, 36h, 0.
type ageValue time.Duration

func (v *ageValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		if n *= 24 * float64(time.Hour); !(math.Abs(n) < math.MaxInt64) {
			err = strconv.ErrRange
		}
		d = time.Duration(n)
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time: write 90m, 36h, 7d or 0", s)
	}
	*v = ageValue(d)
	return nil
}

func (v *ageValue) String() string {
	d := time.Duration(*v)
	switch {
	case d > 24*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d > 0 && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

func (v *ageValue) Type() string { return "AGE" }

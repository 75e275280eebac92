package dag

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// circumstance is something around a part that its outputs must not depend on.
type circumstance uint8

const (
	inDirectory circumstance = 1 << iota
	inTmpdir
	inLocale
	inZone
	inCPUs
	inOrder
)

var allCircumstances = []circumstance{inDirectory, inTmpdir, inLocale, inZone, inCPUs, inOrder}

// Locales that differ in what they make of letters, numbers and the order of words, and
// time zones that are never on one day, or not whole hours apart. C and UTC are what
// programs of careful people already fix, so they come after the first.
var (
	locales = []string{"tr_TR.UTF-8", "C", "pt_BR.UTF-8", "ja_JP.eucJP"}
	zones   = []string{"Pacific/Kiritimati", "America/St_Johns", "Asia/Kathmandu", "Pacific/Pago_Pago"}
)

// circumstances are those of one rerun: which differ from a plain run's, and how.
type circumstances struct {
	changed      circumstance
	variant      int
	cpus         int
	locale, zone string
	single       bool // one thread at a time
}

// home are the circumstances of a plain run.
func (r *rerunner) home(p *part) circumstances {
	cpus, _ := r.needs(p.node)
	return circumstances{cpus: cpus}
}

// alone is home with one thread.
func (r *rerunner) alone() circumstances { return circumstances{cpus: 1, single: true} }

// elsewhere are the circumstances of a part's i-th rerun: all that may be changed is.
// What the stage declares to depend on (`env:`) is in its key, and stays.
func (r *rerunner) elsewhere(p *part, i int) circumstances {
	c := circumstances{variant: i}
	for _, x := range allCircumstances {
		c.changed |= x
	}
	for _, v := range p.node.Env {
		switch {
		case v == "LANG", v == "LANGUAGE", strings.HasPrefix(v, "LC_"):
			c.changed &^= inLocale
		case v == "TZ":
			c.changed &^= inZone
		case v == "TMPDIR":
			c.changed &^= inTmpdir
		case v == "PWD":
			c.changed &^= inDirectory
		case v == "GOMAXPROCS":
			c.changed &^= inCPUs
		}
	}
	now := os.Getenv("LC_ALL")
	if now == "" {
		now = os.Getenv("LANG")
	}
	c.locale = other(locales, now, i)
	c.zone = other(zones, os.Getenv("TZ"), i)
	home, _ := r.needs(p.node)
	counts := []int{1, home + 1, home + 2}
	c.cpus = other(counts, home, i)
	return c.only(c.changed, home)
}

// other gives the i-th of some values that are not now, and begins again after the last.
func other[T comparable](values []T, now T, i int) T {
	values = slices.DeleteFunc(slices.Clone(values), func(v T) bool { return v == now })
	return values[i%len(values)]
}

// only leaves changed what is in x; home is the number of CPUs when that is not.
func (c circumstances) only(x circumstance, home int) circumstances {
	c.changed &= x
	if c.changed&inCPUs == 0 {
		c.cpus = home
	}
	return c
}

// has says whether x differs from a plain run's.
func (c circumstances) has(x circumstance) bool { return c.changed&x != 0 }

// weight is how many of this machine's CPUs a rerun keeps busy.
func (r *rerunner) weight(c circumstances) int { return min(c.cpus, r.o.Jobs) }

// env is what the worker's environment has otherwise than this process's.
func (c circumstances) env(declared []string, dir, tmp string) (env []string) {
	if c.has(inDirectory) {
		env = append(env, "PWD="+dir)
	}
	if c.has(inTmpdir) {
		env = append(env, "TMPDIR="+tmp)
	}
	if c.has(inLocale) {
		env = append(env, "LC_ALL="+c.locale, "LANG="+c.locale, "LANGUAGE=")
	}
	if c.has(inZone) {
		env = append(env, "TZ="+c.zone)
	}
	switch {
	case slices.Contains(declared, "GOMAXPROCS"):
	case c.single:
		env = append(env, "GOMAXPROCS=1")
	case c.has(inCPUs):
		env = append(env, fmt.Sprintf("GOMAXPROCS=%d", c.cpus))
	}
	return env
}

// words lists what differs from a plain run.
func (c circumstances) words() (w []string) {
	for _, x := range allCircumstances {
		if c.has(x) {
			w = append(w, c.word(x))
		}
	}
	return w
}

// word names one circumstance, and what it is where that can be told.
func (c circumstances) word(x circumstance) string {
	switch x {
	case inDirectory:
		return "working directory"
	case inTmpdir:
		return "TMPDIR"
	case inLocale:
		return "locale " + c.locale
	case inZone:
		return "time zone " + c.zone
	case inCPUs:
		if c.cpus == 1 {
			return "1 CPU"
		}
		return fmt.Sprintf("%d CPUs", c.cpus)
	}
	return "directory order"
}

package main

import (
	"fmt"
	"strings"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/pflag"
)

// price is what an hour of one CPU costs, in whatever the user counts in; 0: not said.
type price float64

func (p *price) add(s *pflag.FlagSet) {
	s.Float64Var((*float64)(p), "price-per-cpu-hour", 0, "what an hour of one CPU costs, to show CPU time as money too")
}

func (p price) check() error {
	if p < 0 {
		return usage{fmt.Errorf("--price-per-cpu-hour %g: a price is at least 0", float64(p))}
	}
	return nil
}

// span shows a time and the interval that holds it eight times in ten.
func span(s dag.Span) string {
	return fmt.Sprintf("%s (%s to %s)", duration(s.Seconds), duration(s.Low), duration(s.High))
}

// cpuTime shows CPU time: "1 min 20 s of CPU", or, of more than an hour, hours; and what
// it costs.
func (p price) cpuTime(seconds float64) string {
	words := duration(seconds) + " of CPU"
	if seconds >= 3600 {
		words = fmt.Sprintf("%.1f CPU-hours", seconds/3600)
	}
	if p > 0 {
		words += fmt.Sprintf(", %s at %g an hour", money(seconds/3600*float64(p)), float64(p))
	}
	return words
}

// cpuSpan is the same of an estimate.
func (p price) cpuSpan(s dag.Span) string {
	words := fmt.Sprintf("%s of CPU", span(s))
	if s.Seconds >= 3600 {
		words = fmt.Sprintf("%.1f CPU-hours (%.1f to %.1f)", s.Seconds/3600, s.Low/3600, s.High/3600)
	}
	if p > 0 {
		at := func(seconds float64) string { return money(seconds / 3600 * float64(p)) }
		words += fmt.Sprintf(", %s (%s to %s) at %g an hour", at(s.Seconds), at(s.Low), at(s.High), float64(p))
	}
	return words
}

// money shows an amount to the hundredth, small ones to two figures.
func money(x float64) string {
	if x != 0 && x < 0.1 {
		return fmt.Sprintf("%.2g", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// takes words what a plan will take, a line each.
func (p price) takes(plan *dag.Plan) string {
	if plan.Estimate == nil {
		var unknown []string
		for _, s := range plan.Stages {
			if s.Estimate == nil && (s.State == dag.PlanRun || s.State == dag.PlanMayRun) {
				unknown = append(unknown, s.Name)
			}
		}
		more := ""
		if n := len(unknown) - 3; n > 0 {
			unknown, more = unknown[:3], fmt.Sprintf(" and %d more", n)
		}
		return fmt.Sprintf("time unknown: the ledger has nothing like %s%s to go by", strings.Join(unknown, ", "), more)
	}
	jobs := "job"
	if plan.Jobs != 1 {
		jobs += "s"
	}
	words := fmt.Sprintf("about %s with %d %s", span(*plan.Wall), plan.Jobs, jobs)
	if plan.Estimate.CPU != nil {
		words += "\n" + p.cpuSpan(*plan.Estimate.CPU)
	}
	if m := plan.Estimate.Memory; m > 0 {
		words += fmt.Sprintf("\nup to %s of memory in one worker, as before", size(m))
	}
	return words
}

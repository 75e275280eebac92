package dag_test

import (
	"strings"
	"testing"
)

// processors is the class of processors that the kind "steps" says its outputs are of.
var processors string

// Outputs that depend on the class of processors are not taken for those of another, and
// explain says why.
func TestMachineIsPartOfTheKey(t *testing.T) {
	b := newBench(t)
	b.run()
	processors = "avx512bf16"
	defer func() { processors = "" }()
	for _, s := range b.plan().Stages {
		if (s.Name == "train") != (s.Run > 0) {
			t.Errorf("%s: %d parts to run", s.Name, s.Run)
		}
		if s.Name == "train" && (len(s.Reasons) != 1 || s.Reasons[0].Component != "machine" || !strings.Contains(s.Reasons[0].Text, "(not set) → avx512bf16")) {
			t.Errorf("%+v", s.Reasons)
		}
	}
	steps := func() (n int) {
		for _, s := range b.run().Stages {
			if s.Ran > 0 {
				n += s.Ran
				if s.Name != "train" {
					t.Errorf("%s ran", s.Name)
				}
			}
		}
		return n
	}
	if n := steps(); n != 1 {
		t.Errorf("%d parts ran for another class", n)
	}
	if n := steps(); n != 0 {
		t.Errorf("the run after that ran %d parts", n)
	}
	processors = ""
	if n := steps(); n != 0 {
		t.Errorf("back with the first class %d parts ran", n)
	}
}

package main

import (
	"os"
	"testing"
)

// The committed files are what this program writes.
func TestCurrent(t *testing.T) {
	text, decl := generate()
	for name, want := range map[string]string{"../loops_amd64.s": text, "../loops_amd64.go": decl} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s is not what the generator writes (%v): run go generate ./model/kernel", name, err)
		}
	}
}

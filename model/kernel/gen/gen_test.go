package main

import (
	"os"
	"testing"
)

// The committed files are what this program writes.
func TestCurrent(t *testing.T) {
	for name, want := range generate() {
		if got, err := os.ReadFile("../" + name); err != nil || string(got) != want {
			t.Errorf("%s is not what the generator writes (%v): run go generate ./model/kernel", name, err)
		}
	}
}

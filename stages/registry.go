// Package stages lists the stage kinds. Each is a package of its own below this one.
package stages

import (
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/textparse"
)

// Kinds returns all stage kinds, in the order in which text passes through them.
func Kinds() []stage.Kind {
	return []stage.Kind{
		textparse.Kind,
	}
}

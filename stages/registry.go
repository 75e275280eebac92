// Package stages lists the stage kinds. Each is a package of its own below this one.
package stages

import (
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/audit"
	"github.com/ptbr-slm/pipeline/stages/split"
	"github.com/ptbr-slm/pipeline/stages/textparse"
	"github.com/ptbr-slm/pipeline/stages/tokenize"
	"github.com/ptbr-slm/pipeline/stages/traintokenizer"
	"github.com/ptbr-slm/pipeline/stages/wikiparse"
)

// Kinds returns all stage kinds, in the order in which text passes through them.
func Kinds() []stage.Kind {
	return []stage.Kind{
		wikiparse.Kind,
		textparse.Kind,
		split.Kind,
		audit.Kind,
		traintokenizer.Kind,
		tokenize.Kind,
	}
}

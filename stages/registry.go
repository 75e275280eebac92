// Package stages lists the stage kinds. Each is a package of its own below this one.
package stages

import (
	"github.com/ptbr-slm/pipeline/dag/stage"
	"github.com/ptbr-slm/pipeline/stages/audit"
	"github.com/ptbr-slm/pipeline/stages/clean"
	"github.com/ptbr-slm/pipeline/stages/command"
	"github.com/ptbr-slm/pipeline/stages/dedup"
	"github.com/ptbr-slm/pipeline/stages/dedupindex"
	"github.com/ptbr-slm/pipeline/stages/eval"
	"github.com/ptbr-slm/pipeline/stages/filter"
	"github.com/ptbr-slm/pipeline/stages/planaltoparse"
	"github.com/ptbr-slm/pipeline/stages/split"
	"github.com/ptbr-slm/pipeline/stages/textparse"
	"github.com/ptbr-slm/pipeline/stages/tokenize"
	"github.com/ptbr-slm/pipeline/stages/train"
	"github.com/ptbr-slm/pipeline/stages/traintokenizer"
	"github.com/ptbr-slm/pipeline/stages/wikiparse"
)

// Kinds returns all stage kinds, in the order in which text passes through them.
func Kinds() []stage.Kind {
	return []stage.Kind{
		wikiparse.Kind,
		planaltoparse.Kind,
		textparse.Kind,
		clean.Kind,
		filter.Kind,
		dedupindex.Kind,
		dedup.Kind,
		split.Kind,
		audit.Kind,
		traintokenizer.Kind,
		tokenize.Kind,
		train.Kind,
		eval.Kind,
		command.Kind,
	}
}

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ptbr-slm/pipeline/artifacts"
	"github.com/ptbr-slm/pipeline/dag"
	"github.com/spf13/cobra"
)

// complete gives a command what the shell completes its words by: pipeline files and
// their stages and profiles, the runs and outputs that the store knows. Whatever is
// wrong with a file or a store, there is nothing to complete and nothing to say.
func complete(c *cobra.Command) {
	if f := c.Flags().Lookup("profile"); f != nil {
		must(c.RegisterFlagCompletionFunc("profile", completeProfiles))
	}
	if f := c.Flags().Lookup("run"); f != nil {
		must(c.RegisterFlagCompletionFunc("run", func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return pastRuns(c), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		}))
	}
	if f := c.Flags().Lookup("part"); f != nil {
		must(c.RegisterFlagCompletionFunc("part", func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return pastParts(c, args), cobra.ShellCompDirectiveNoFileComp
		}))
	}
	if c.ValidArgsFunction != nil {
		return
	}
	use, _, _ := strings.Cut(c.Use, "|") // of what may stand in one place, the first is completed
	words := strings.Fields(strings.NewReplacer("[", " ", "]", " ", "…", "").Replace(use))[1:]
	if len(words) == 0 || strings.Contains(use, "--") {
		return
	}
	c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		word := words[min(len(args), len(words)-1)]
		if len(args) >= len(words) && !strings.HasSuffix(strings.TrimRight(c.Use, "]"), "…") {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		const none = cobra.ShellCompDirectiveNoFileComp
		switch {
		case word == "FILE":
			return []cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		case word == "STAGE" && slices.Contains(words, "FILE"):
			return stagesOf(c, args[slices.Index(words, "FILE")], args), none | cobra.ShellCompDirectiveKeepOrder
		case word == "STAGE":
			return pastStages(c), none | cobra.ShellCompDirectiveKeepOrder
		case word == "STAGE.PORT":
			return pastOutputs(c), none | cobra.ShellCompDirectiveKeepOrder
		case word == "RUN":
			return pastRuns(c), none | cobra.ShellCompDirectiveKeepOrder
		case word == "PIPELINE":
			return pastPipelines(c), none
		case word == "DIR":
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}

// must is for what only a mistake in this program can make fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func completeProfiles(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	for _, a := range args {
		if p, err := loadPipeline(a, ""); err == nil {
			return p.Profiles, cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// stagesOf lists the stages of a pipeline file that are not yet on the command line, a
// matrix also by the name that stands for all of it.
func stagesOf(c *cobra.Command, file string, given []string) (names []cobra.Completion) {
	profile, _ := c.Flags().GetString("profile")
	p, err := loadPipeline(file, profile)
	if err != nil {
		return nil
	}
	add := func(name, what string) {
		if !slices.Contains(given, name) {
			names = append(names, cobra.CompletionWithDesc(name, what))
		}
	}
	seen := map[string]bool{}
	for i := range p.Stages {
		s := &p.Stages[i]
		if s.Base != s.Name && !seen[s.Base] {
			seen[s.Base] = true
			add(s.Base, s.Kind.Name+", all of its matrix")
		}
		add(s.Name, s.Kind.Name)
	}
	return names
}

// fromStore opens the store that the command line names and asks its ledger.
func fromStore(c *cobra.Command, ask func(*artifacts.Ledger)) {
	var f storeFlags
	f.store, _ = c.Flags().GetString("store")
	f.ledger, _ = c.Flags().GetString("ledger")
	s, err := f.forReading()
	if err != nil {
		return
	}
	defer s.Close()
	ask(s.Ledger())
}

// completedRuns is how many of the last runs are offered, and asked for their stages.
const completedRuns = 20

func pastRuns(c *cobra.Command) (ids []cobra.Completion) {
	fromStore(c, func(l *artifacts.Ledger) {
		runs, err := l.Runs("", completedRuns)
		if err != nil {
			return
		}
		for _, r := range runs {
			ids = append(ids, cobra.CompletionWithDesc(fmt.Sprint(r.ID), fmt.Sprintf("%s, %s, %s", r.Pipeline, r.State, since(r.Started))))
		}
	})
	return ids
}

func pastPipelines(c *cobra.Command) (names []cobra.Completion) {
	fromStore(c, func(l *artifacts.Ledger) {
		runs, err := l.Runs("", 1000)
		if err != nil {
			return
		}
		for _, r := range runs {
			if !slices.Contains(names, r.Pipeline) {
				names = append(names, r.Pipeline)
			}
		}
	})
	return names
}

// namedRun is the run that --run names, or the last.
func namedRun(c *cobra.Command, l *artifacts.Ledger) (r artifacts.Run, ok bool) {
	var args []string
	if run, _ := c.Flags().GetString("run"); run != "" {
		args = []string{run}
	}
	r, err := pickRun(l, args)
	return r, err == nil
}

func pastStages(c *cobra.Command) (names []cobra.Completion) {
	fromStore(c, func(l *artifacts.Ledger) {
		r, ok := namedRun(c, l)
		if !ok {
			return
		}
		if resolved, err := dag.ResolvedBy(l, r.ID); err == nil && resolved != nil {
			for _, s := range resolved.Stages {
				names = append(names, cobra.CompletionWithDesc(s.Name, s.Kind))
			}
		}
	})
	return names
}

func pastParts(c *cobra.Command, args []string) (names []cobra.Completion) {
	if len(args) == 0 {
		return nil
	}
	fromStore(c, func(l *artifacts.Ledger) {
		r, ok := namedRun(c, l)
		if !ok {
			return
		}
		parts, err := l.Parts(r.ID, args[0])
		if err != nil {
			return
		}
		for _, p := range parts {
			names = append(names, cobra.CompletionWithDesc(p.Part, p.State))
		}
	})
	return names
}

// pastOutputs lists the outputs of the last runs, each once.
func pastOutputs(c *cobra.Command) (names []cobra.Completion) {
	fromStore(c, func(l *artifacts.Ledger) {
		runs, err := l.Runs("", completedRuns)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, r := range runs {
			completed, err := l.Stages(r.ID)
			if err != nil {
				return
			}
			for _, st := range completed {
				outs, err := recordedOutputs(st)
				if err != nil {
					return
				}
				for _, port := range keys(outs) {
					if name := st.Stage + "." + port; !seen[name] {
						seen[name] = true
						names = append(names, cobra.CompletionWithDesc(name, fmt.Sprintf("%s in %s, run %d", size(outs[port].Bytes), files(outs[port].Files), r.ID)))
					}
				}
			}
		}
	})
	return names
}

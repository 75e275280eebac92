package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/ptbr-slm/pipeline/dag"
	"github.com/ptbr-slm/pipeline/stages"
	"github.com/spf13/cobra"
)

// versionDocument is the JSON of `pipeline version --json`.
type versionDocument struct {
	Version  string         `json:"version"`
	Revision string         `json:"revision,omitempty"`
	Modified bool           `json:"modified,omitempty"`
	Go       string         `json:"go"`
	Platform string         `json:"platform"`
	Engine   int            `json:"engine"` // format of keys
	Kinds    map[string]int `json:"kinds"`  // stage kind → version
}

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the program and of its stage kinds",
		Example: "  pipeline version\n  pipeline version --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d := versionInfo()
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			fmt.Fprintf(c.OutOrStdout(), "pipeline %s %s (%s, %s)\n", d.Version, d.Revision, d.Go, d.Platform)
			for _, k := range stages.Kinds() {
				fmt.Fprintf(c.OutOrStdout(), "  %-16s %d\n", k.Name, k.Version)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

func versionInfo() versionDocument {
	d := versionDocument{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Engine: dag.EngineFormat, Kinds: map[string]int{}}
	for _, k := range stages.Kinds() {
		d.Kinds[k.Name] = k.Version
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		if b.Main.Version != "" {
			d.Version = b.Main.Version
		}
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				d.Revision = s.Value
			case "vcs.modified":
				d.Modified = s.Value == "true"
			}
		}
	}
	return d
}

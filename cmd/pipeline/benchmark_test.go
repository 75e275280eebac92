package main

import (
	"encoding/json"
	"testing"

	"github.com/ptbr-slm/pipeline/model/benchmark"
)

func TestBenchmark(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	quick := []string{"benchmark", "--preset", "nano", "--threads", "1", "--tokens", "16", "--vocab", "64", "--time", "1ms"}
	s.want(0, []string{"multiply-adds", "reading memory", "nano", "of peak"}, quick...)
	var r benchmark.Report
	if err := json.Unmarshal([]byte(s.want(0, nil, append(quick, "--json")...)), &r); err != nil || len(r.Steps) == 0 || len(r.Decodes) != 1 {
		t.Errorf("%+v %v", r, err)
	}
	s.want(2, []string{`no preset "huge"`, "nano, micro"}, "benchmark", "--preset", "huge")
	s.want(2, []string{"--threads 0"}, "benchmark", "--threads", "0")
	s.want(2, []string{`no kernels "sse" here`}, "benchmark", "--path", "sse")
}

package dag

import (
	"fmt"
	"time"

	"github.com/ptbr-slm/pipeline/dag/executor"
)

// limit is the time a part may take; 0 for no bound.
func (n *node) limit() time.Duration {
	t, r := n.Timeout, n.Time
	if t == 0 || (r > 0 && r < t) {
		return r
	}
	return t
}

func (n *node) overTime() error {
	setting := "timeout"
	if n.limit() != n.Timeout {
		setting = "resources.time"
	}
	return fmt.Errorf("it took longer than its limit of %s (%s of stage %s, %s): raise the limit, or give a part less to do",
		n.limit(), setting, n.Name, n.Pos)
}

func (n *node) overMemory(e *executor.OverMemory) error {
	return fmt.Errorf("it used %s of memory, its limit is %s (resources.memory of stage %s, %s): raise the limit, or give a part less to do",
		inBytes(e.Used), inBytes(e.Limit), n.Name, n.Pos)
}

// inBytes words a number of bytes.
func inBytes(n int64) string {
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if size := float64(n) / float64(int64(1)<<(10*(i+1))); size < 1000 || unit == "GiB" {
			return fmt.Sprintf("%.3g %s", size, unit)
		}
	}
	return ""
}

package artifacts

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Tests that need another process start this test binary again in a role.
const roleVariable = "ARTIFACTS_TEST_ROLE"

var roles = map[string]func(args []string) error{
	"hold":    holdKey,
	"publish": publishForEver,
	"place":   placeForEver,
	"full":    fillDisk,
	"compact": compactOnce,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](strings.Split(os.Getenv(roleVariable+"_ARGS"), "\n")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type process struct {
	*exec.Cmd
	out *bufio.Reader
	in  io.WriteCloser
}

// command prepares a process in a role. It ends when the test does.
func command(t *testing.T, role string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), roleVariable+"="+role, roleVariable+"_ARGS="+strings.Join(args, "\n"))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
	})
	return &process{c, bufio.NewReader(out), in}
}

func start(t *testing.T, role string, args ...string) *process {
	t.Helper()
	p := command(t, role, args...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// line waits for the process to say something.
func (p *process) line(t *testing.T) string {
	t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the other process said %q and ended: %v", s, err)
	}
	if strings.HasPrefix(s, "error:") {
		t.Fatalf("the other process: %s", s)
	}
	return strings.TrimSpace(s)
}

// kill is SIGKILL, and waits until the kernel has taken back what it held.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
}

package rwkv

import "fmt"

// Checkpointing is which blocks keep their activations for the backward. The others keep
// their input and starting state, share one set of buffers, and compute them once more:
// less memory, more work, the same bits.
type Checkpointing string

// The modes.
const (
	Off        Checkpointing = "off"        // every block keeps them
	Balanced   Checkpointing = "balanced"   // every second one
	Aggressive Checkpointing = "aggressive" // none
)

// Check says that there is no such mode.
func (k Checkpointing) Check() error {
	if k != Off && k != Balanced && k != Aggressive {
		return fmt.Errorf("checkpointing is %q; it must be %s, %s or %s", string(k), Off, Balanced, Aggressive)
	}
	return nil
}

func (k Checkpointing) keeps(layer int) bool {
	return k == Off || k == Balanced && layer%2 == 0
}

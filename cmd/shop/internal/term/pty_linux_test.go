package term

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal returns both ends of a pseudo terminal: the displaying end and the end for writing.
func openTerminal(t *testing.T) (shows, written *os.File) {
	t.Helper()
	shows, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { shows.Close() })
	var unlock, n int32
	for request, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &n} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, shows.Fd(), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
			t.Skip(errno)
		}
	}
	written, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { written.Close() })
	return shows, written
}

// A terminal that is gone counts as an output without a reader, as a closed pipe does.
func TestATerminalThatIsGoneIsBroken(t *testing.T) {
	t.Parallel()
	shows, written := openTerminal(t)
	out, _ := New(written, io.Discard, func(string) string { return "" })
	if _, err := io.WriteString(out, "line\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.Broken():
		t.Fatal("broken while the terminal is there")
	default:
	}
	shows.Close()
	if _, err := io.WriteString(out, "line\n"); err == nil {
		t.Fatal("written to a terminal that is gone")
	}
	select {
	case <-out.Broken():
	default:
		t.Error("not noticed")
	}
}

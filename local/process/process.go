// Package process runs programs in the background and finds them again from another process: start,
// stop, kill, pause, resume, wait until ready.
//
// # What it guarantees
//
// A started program outlives the process and the terminal that started it, because it has its own
// session. It writes to one log file. A file with its process id and its start time identifies it.
// If the kernel has reused the process id, the package recognises that and never signals the other
// process. After [Runner.Stop] and [Runner.Kill] return nil the process is gone.
//
// # What it does not do
//
// It does not restart programs. It does not track children of the programs: they must end with
// their parent, as those of PostgreSQL do. The caller must make sure that a name is not started
// twice at once.
//
// # How it fails
//
// A program that ends before it is ready, or is not ready in time, is an error with the end of its
// log. Unix only.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Spec describes how to run one program. It can be stored and used again later.
type Spec struct {
	Name string   `json:"name"`
	Path string   `json:"path"`
	Args []string `json:"args,omitempty"` // without the program's name
	Env  []string `json:"env,omitempty"`  // KEY=VALUE, the whole environment
	Dir  string   `json:"dir,omitempty"`  // working folder
	Log  string   `json:"log"`            // standard output and error are appended here
	// User runs the program as another user; only root can do that.
	User *User `json:"user,omitempty"`
	// StopSignal requests a clean end; 0 is SIGTERM.
	StopSignal syscall.Signal `json:"stopSignal,omitempty"`
}

// User is a numeric user and group.
type User struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// Runner stores the files that identify processes in one folder.
type Runner struct{ Dir string }

// State is the state of a program.
type State string

const (
	Stopped State = "stopped" // not started, or stopped intentionally
	Running State = "running"
	Paused  State = "paused" // frozen by SIGSTOP
	Dead    State = "dead"   // was started and has ended: killed or crashed
)

// Status is a program's status at one moment.
type Status struct {
	State   State
	PID     int // 0 unless running or paused
	Started time.Time
}

// record is the content of a process's file.
type record struct {
	PID      int            `json:"pid"`
	Identity string         `json:"identity"` // of the process id: its start time
	Started  time.Time      `json:"started"`
	Stop     syscall.Signal `json:"stopSignal"`
	Log      string         `json:"log"`
	LogFrom  int64          `json:"logFrom"` // offset of this run in the log
}

// maxLog is the size above which the next start renames the log, keeping one old file.
const maxLog = 64 << 20

// Start runs the program in the background. It returns an error if the program runs already.
func (r Runner) Start(spec Spec) (pid int, err error) {
	if s, err := r.Status(spec.Name); err != nil {
		return 0, err
	} else if s.PID != 0 {
		return 0, fmt.Errorf("start %s: it is %s as process %d", spec.Name, s.State, s.PID)
	}
	for _, dir := range []string{r.Dir, filepath.Dir(spec.Log)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return 0, fmt.Errorf("start %s: %w", spec.Name, err)
		}
	}
	log, from, err := openLog(spec)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer log.Close() // the child has its own copy
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env, cmd.Dir = spec.Env, spec.Dir
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would mean this process's environment
	}
	cmd.Stdout, cmd.Stderr = log, log
	// Its own session: Ctrl-C and a closed terminal do not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if spec.User != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: spec.User.UID, Gid: spec.User.GID}
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	// The identity is read before Wait is called for the child: until then, the kernel cannot reuse
	// its process id.
	id, err := identity(cmd.Process.Pid)
	if err == nil {
		err = r.write(spec.Name, record{PID: cmd.Process.Pid, Identity: id, Started: started,
			Stop: spec.StopSignal, Log: spec.Log, LogFrom: from})
	}
	if err != nil {
		cmd.Process.Kill() //nolint:errcheck // it has ended then
		cmd.Wait()         //nolint:errcheck // its end is not the news
		return 0, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	go cmd.Wait() //nolint:errcheck // only so that it is no zombie when it ends before us
	return cmd.Process.Pid, nil
}

func openLog(spec Spec) (f *os.File, from int64, err error) {
	if info, err := os.Stat(spec.Log); err == nil && info.Size() > maxLog {
		if err := os.Rename(spec.Log, spec.Log+".1"); err != nil {
			return nil, 0, err
		}
	}
	f, err = os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, 0, err
	}
	fmt.Fprintf(f, "--- %s started %s\n", spec.Name, time.Now().UTC().Format(time.RFC3339Nano))
	if from, err = f.Seek(0, 2); err != nil {
		f.Close() //nolint:errcheck // the first error counts
		return nil, 0, err
	}
	return f, from, nil
}

// Status returns the present status of a program.
func (r Runner) Status(name string) (Status, error) {
	rec, err := r.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Status{State: Stopped}, nil
	}
	if err != nil {
		return Status{}, err
	}
	switch look(rec.PID, rec.Identity) {
	case alive:
		return Status{State: Running, PID: rec.PID, Started: rec.Started}, nil
	case frozen:
		return Status{State: Paused, PID: rec.PID, Started: rec.Started}, nil
	default:
		return Status{State: Dead, Started: rec.Started}, nil
	}
}

// ErrNotRunning reports that there is no process to act on.
var ErrNotRunning = errors.New("it does not run")

// Stop sends the program its stop signal and kills it after grace. A program that does not run is
// no error. killed reports whether it had to be killed.
func (r Runner) Stop(ctx context.Context, name string, grace time.Duration) (killed bool, err error) {
	rec, err := r.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	sig := rec.Stop
	if sig == 0 {
		sig = syscall.SIGTERM
	}
	if err := r.signal(rec, sig); err == nil {
		// A frozen process receives the stop signal when it continues.
		r.signal(rec, syscall.SIGCONT) //nolint:errcheck // it is gone then
		patience, cancel := context.WithTimeout(ctx, grace)
		err = gone(patience, rec)
		cancel()
		if err != nil {
			killed = true
			err := r.kill(context.WithoutCancel(ctx), rec)
			if errors.Is(err, ErrNotRunning) {
				killed, err = false, nil // it ended by itself just before
			}
			if err != nil {
				return killed, fmt.Errorf("stop %s: %w", name, err)
			}
		}
	} else if !errors.Is(err, ErrNotRunning) {
		return false, fmt.Errorf("stop %s: %w", name, err)
	}
	if err := os.Remove(r.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return killed, fmt.Errorf("stop %s: %w", name, err)
	}
	return killed, nil
}

// Kill sends SIGKILL and waits for the end. The error matches [ErrNotRunning].
func (r Runner) Kill(ctx context.Context, name string) error {
	return r.with(name, "kill", func(rec record) error { return r.kill(ctx, rec) })
}

func (r Runner) kill(ctx context.Context, rec record) error {
	if err := r.signal(rec, syscall.SIGKILL); err != nil {
		return err
	}
	// Only a process in an uninterruptible system call takes longer.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := gone(ctx, rec); err != nil {
		return fmt.Errorf("process %d is still there after SIGKILL: %w", rec.PID, err)
	}
	return nil
}

func (r Runner) with(name, attempt string, do func(record) error) error {
	rec, err := r.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotRunning
	}
	if err == nil {
		err = do(rec)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", attempt, name, err)
	}
	return nil
}

func (r Runner) signal(rec record, sig syscall.Signal) error {
	if look(rec.PID, rec.Identity) == absent {
		return ErrNotRunning
	}
	err := syscall.Kill(rec.PID, sig)
	if errors.Is(err, syscall.ESRCH) {
		return ErrNotRunning
	}
	return err
}

// gone waits for the end of a process.
func gone(ctx context.Context, rec record) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for look(rec.PID, rec.Identity) != absent {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (r Runner) file(name string) string { return filepath.Join(r.Dir, name+".pid") }

func (r Runner) read(name string) (record, error) {
	var rec record
	b, err := os.ReadFile(r.file(name))
	if err != nil {
		return rec, err
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		return rec, fmt.Errorf("read %s: %w", r.file(name), err)
	}
	return rec, nil
}

func (r Runner) write(name string, rec record) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	tmp := r.file(name) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, r.file(name))
}

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"

	"eventshop.example/pkg/postgres/server"
)

// downloadVersion is the newest version of the library that has been in use for some time. Its SQL
// is a superset of the oldest supported version's.
const downloadVersion = embedded.V17

// Binaries returns the folder with the server binaries of a source that is not external. It
// downloads them if necessary. helper is a command that calls [Fetch] with its last argument; the
// cache folder is appended to it. Binaries calls say before a download.
func Binaries(ctx context.Context, source Source, helper []string, say func(string)) (dir string, err error) {
	if source != Auto && source != Download {
		if _, err := server.Major(ctx, string(source)); err != nil {
			return "", fmt.Errorf("look for PostgreSQL binaries in %s: %w", source, err)
		}
		return string(source), nil
	}
	if source == Auto {
		dir, err := server.FindBinaries(ctx)
		if err == nil || !errors.Is(err, server.ErrNotFound) {
			return dir, err
		}
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, string(downloadVersion), "bin")
	if _, err := server.Major(ctx, dir); err == nil {
		return dir, nil
	}
	say(fmt.Sprintf("no PostgreSQL here yet: downloading %s once, to %s", downloadVersion, cache))
	if err := download(ctx, cache, helper); err != nil {
		return "", fmt.Errorf("download PostgreSQL %s: %w", downloadVersion, err)
	}
	if _, err := server.Major(ctx, dir); err != nil {
		return "", fmt.Errorf("run the downloaded PostgreSQL: %w", err)
	}
	return dir, nil
}

// CacheDir returns the folder for downloaded binaries. For root it is a folder that the server's
// user can enter, which root's own cache is not.
func CacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/tmp/eventshop-postgres", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "eventshop", "postgres"), nil
}

// download runs the helper as the server's user.
func download(ctx context.Context, cache string, helper []string) error {
	if len(helper) == 0 {
		return errors.New("no helper command")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	cred, err := server.Credential()
	if err != nil {
		return err
	}
	if cred != nil {
		// Below a folder that every user may write to, another user could have placed it.
		info, err := os.Lstat(cache)
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || ok && st.Uid != 0 && st.Uid != cred.Uid {
			return fmt.Errorf("%s belongs to somebody else", cache)
		}
		if err := server.Own(cache); err != nil {
			return err
		}
	}
	program, remove, err := executable(helper[0], cache)
	if err != nil {
		return err
	}
	defer remove()
	cmd := exec.CommandContext(ctx, program, append(helper[1:len(helper):len(helper)], cache)...)
	// Ctrl-C in the terminal does not reach it: it has to stop the server that it runs first.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: cred}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	cmd.Dir = "/"
	for _, kv := range os.Environ() { // settings of proxies and certificates stay
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "HOME=") && !strings.HasPrefix(kv, "TMPDIR=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+cache)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// executable returns a path of the program that the server's user can reach: if necessary, a copy
// in the cache folder.
func executable(program, cache string) (path string, remove func(), err error) {
	program, err = filepath.Abs(program)
	if err != nil {
		return "", nil, err
	}
	if ok, _, err := open(program); err != nil || ok {
		return program, func() {}, err
	}
	in, err := os.Open(program)
	if err != nil {
		return "", nil, err
	}
	defer in.Close()
	path = filepath.Join(cache, "helper")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return "", nil, err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		os.Remove(path)
		return "", nil, err
	}
	return path, func() { os.Remove(path) }, nil
}

// Fetch downloads and unpacks the binaries into the cache folder. The helper process calls it. It
// must not run as root, because the library also starts the server for a test. When ctx ends, that
// server is stopped at once.
func Fetch(ctx context.Context, cache string) error {
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	unpacked, data := filepath.Join(tmp, "unpacked"), filepath.Join(tmp, "data")
	port, err := server.FreePort()
	if err != nil {
		return err
	}
	var log bytes.Buffer
	pg := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloadVersion).
		Port(uint32(port)).
		CachePath(filepath.Join(tmp, "archive")).
		RuntimePath(filepath.Join(tmp, "run")).
		BinariesPath(unpacked).
		DataPath(data).
		Locale("C").
		StartTimeout(time.Minute).
		Logger(&log))
	done := make(chan error, 1)
	go func() {
		err := pg.Start()
		if err == nil {
			err = pg.Stop()
		}
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		// The library does not accept a context. The server that it may have started has to end.
		exec.Command(filepath.Join(unpacked, "bin", "pg_ctl"), "-D", data, "-m", "immediate", "stop").Run() //nolint:errcheck // mostly there is none yet
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%w %s", err, bytes.TrimSpace(log.Bytes()))
	}
	final := filepath.Join(cache, string(downloadVersion))
	if err := os.RemoveAll(final); err != nil { // the rest of an earlier attempt
		return err
	}
	return os.Rename(unpacked, final)
}

package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Credential returns the user that server processes must run as, or nil when
// the calling process is not root and can run them as itself.
func Credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if uerr == nil && gerr == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("postgres refuses to run as root and there is neither a user postgres nor a user nobody to run it as")
}

// Own changes the owner of path to the user of [Credential]. It does nothing when the calling
// process is not root.
func Own(path string) error {
	cred, err := Credential()
	if err != nil || cred == nil {
		return err
	}
	if err := os.Chown(path, int(cred.Uid), int(cred.Gid)); err != nil {
		return fmt.Errorf("give %s to the server's user: %w", path, err)
	}
	return nil
}

// Initialized reports whether dataDir contains a database cluster already.
func Initialized(dataDir string) bool {
	_, err := os.Stat(filepath.Join(dataDir, "PG_VERSION"))
	return err == nil
}

// InitDB creates a database cluster in dataDir with UTF-8, the C locale and page checksums, owned
// by the role superuser. With a password, every connection needs it (scram-sha-256). Without one,
// every connection is trusted, which is safe only behind a socket folder that no other user can
// enter. InitDB creates dataDir when it is missing and changes its owner to the server's user; that
// user must be able to enter the folders above it (mode bit x). extra are further initdb arguments,
// such as "--no-sync".
func InitDB(ctx context.Context, binDir, dataDir, superuser, password string, extra ...string) error {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	if err := Own(dataDir); err != nil {
		return err
	}
	if err := Reachable(dataDir); err != nil {
		return err
	}
	args := []string{"--pgdata=" + dataDir, "--username=" + superuser, "--encoding=UTF8",
		"--locale=C", "--data-checksums", "--no-instructions"}
	if password == "" {
		args = append(args, "--auth=trust")
	} else {
		// A file, because an argument would be visible in the process list.
		file, err := passwordFile(password)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		args = append(args, "--auth=scram-sha-256", "--pwfile="+file)
	}
	cmd, err := command(ctx, filepath.Join(binDir, "initdb"), append(args, extra...)...)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, tail(out.String()))
	}
	return nil
}

// Command prepares the server process for the cluster in dataDir. The server listens on
// 127.0.0.1:port only; port 0 means no TCP at all, and then the settings must include
// unix_socket_directories. settings are "name=value" pairs of postgresql.conf and override the ones
// of Command. The caller sets output, process group and so on, and starts the process. SIGINT stops
// the server quickly and cleanly. SIGQUIT stops it at once, with recovery at the next start.
func Command(binDir, dataDir string, port int, settings ...string) (*exec.Cmd, error) {
	args := []string{"-D", dataDir}
	if port != 0 {
		args = append(args, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	} else {
		args = append(args, "-c", "listen_addresses=")
	}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return command(context.Background(), filepath.Join(binDir, "postgres"), args...)
}

func command(ctx context.Context, path string, args ...string) (*exec.Cmd, error) {
	cred, err := Credential()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	// The server's user may have no access to the caller's working folder.
	cmd.Dir = "/"
	for _, kv := range os.Environ() {
		// PGDATA, PGPORT and the like would silently change the settings, and an unknown locale
		// stops the server.
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	return cmd, nil
}

// Reachable returns nil when the user of [Credential] can enter all folders above path. Otherwise
// the error names the folder that the server's user cannot enter; the server itself would only
// report "permission denied".
func Reachable(path string) error {
	cred, err := Credential()
	if err != nil || cred == nil {
		return err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for dir := filepath.Dir(abs); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		mode := info.Mode().Perm()
		open := mode&0o001 != 0 || ok && st.Gid == cred.Gid && mode&0o010 != 0 || ok && st.Uid == cred.Uid && mode&0o100 != 0
		if !open {
			return fmt.Errorf("the server runs as uid %d, which cannot enter %s (mode %04o): choose a data folder below an open one", cred.Uid, dir, mode)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func passwordFile(password string) (string, error) {
	f, err := os.CreateTemp("", "pgpass-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("write the password file: %w", err)
	}
	_, err = f.WriteString(password + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = Own(f.Name())
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("write the password file: %w", err)
	}
	return f.Name(), nil
}

// tail returns the end of a program's output, which contains the reason.
func tail(out string) string {
	const keep = 1500
	out = strings.TrimSpace(out)
	if len(out) > keep {
		out = "…" + out[len(out)-keep:]
	}
	return out
}

// Package postgres provides the PostgreSQL server of the embedded stack: one server, with one
// database and one role per service.
//
// # What it guarantees
//
// Committed transactions survive the death of the server by any signal and a power cut (fsync stays
// on). A role owns its database and cannot connect to any other. Passwords are random, in a file
// that only its owner can read. The server never runs as root and listens on 127.0.0.1 only. A
// cluster that initdb did not finish is not used.
//
// # Where the server comes from
//
// A URL of a running server, if one is given; otherwise server binaries (15 or newer) of this
// machine; otherwise binaries downloaded once into a cache folder through
// fergusstrange/embedded-postgres. That library starts the server it downloaded, and PostgreSQL
// refuses to run as root. So for root, a helper process with dropped privileges does only the
// download.
//
// # What it does not do
//
// It does not upgrade the data to another major version (the server reports that when it starts),
// makes no backups, and tunes nothing beyond the defaults.
package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"eventshop.example/pkg/postgres/server"
)

// Source is the origin of the server.
type Source string

// Other sources are the URL of a running server, with a role that may create databases and roles,
// and the absolute path of a folder with server binaries.
const (
	Auto     Source = "auto"     // binaries of this machine, otherwise a download
	Download Source = "download" // downloaded binaries even if the machine has some
)

// ParseSource parses a source; "" is [Auto].
func ParseSource(s string) (Source, error) {
	switch {
	case s == "":
		return Auto, nil
	case s == string(Auto), s == string(Download), Source(s).External(), filepath.IsAbs(s):
		return Source(s), nil
	}
	return "", fmt.Errorf("%q is no source of PostgreSQL: want auto, download, a postgres:// URL or the absolute path of a folder with server binaries", s)
}

// External reports whether the source is the URL of a running server.
func (s Source) External() bool {
	return strings.HasPrefix(string(s), "postgres://") || strings.HasPrefix(string(s), "postgresql://")
}

// open reports whether the server's user can enter every folder above path. closed is the first
// folder that it cannot enter.
func open(path string) (ok bool, closed string, err error) {
	cred, err := server.Credential()
	if err != nil || cred == nil {
		return err == nil, "", err
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return false, "", err
		}
		mode := info.Mode().Perm()
		enter := mode&0o001 != 0
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			enter = enter || st.Uid == cred.Uid && mode&0o100 != 0 || st.Gid == cred.Gid && mode&0o010 != 0
		}
		if !enter {
			return false, dir, nil
		}
		if dir == filepath.Dir(dir) {
			return true, "", nil
		}
	}
}

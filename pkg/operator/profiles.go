package operator

import (
	"net/http"
	"net/http/pprof"
)

// profiles serves the profiles of this process, for `go tool pprof`, beside the API:
//
//	GET /debug/pprof/           the list; each one by its name below
//	GET /debug/pprof/profile    of the CPU, for ?seconds=30
//	GET /debug/pprof/trace      of the execution, for ?seconds=1
//	GET /debug/pprof/cmdline
//	GET /debug/pprof/symbol
//
// They need no tables. They are available while the service starts and while its database is down.
// Package pprof also registers itself with http.DefaultServeMux, which no listener of a service
// serves.
func profiles(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("/", api)
	return mux
}

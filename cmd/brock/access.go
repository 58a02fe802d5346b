package main

import (
	"bytes"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/golang/glog"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph"
	"github.com/brockdb/brock/graph/audit"
	"github.com/brockdb/brock/graph/login"
)

// accessFlags are those of brock alpha about who may use it, and how much of it.
type accessFlags struct {
	whitelist     []string
	authToken     string
	authTokenFile string
	corsOrigins   []string
	tls           graph.TLSFiles
	usersFile     string
	jwtSecretFile string
	accessTTL     time.Duration
	refreshTTL    time.Duration
	auditLog      string

	requestMB       uint32
	requestsMB      uint32
	connections     uint32
	clientTimeout   time.Duration
	idleTimeout     time.Duration
	queryDepth      uint32
	queryComplexity uint32
	introspection   bool
}

func (a *accessFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&a.whitelist, "whitelist", nil,
		"`ADDRS` that may use /admin and /metrics besides loopback: IPs, ranges (from:to), CIDRs, host names, separated by commas")
	flags.StringVar(&a.authToken, "auth_token", "",
		"`TOKEN` that /admin asks for in the header X-Dgraph-AuthToken; better set in the environment than where ps shows it")
	flags.StringVar(&a.authTokenFile, "auth_token_file", "", "`FILE` that holds the --auth_token")
	flags.StringVar(&a.tls.Cert, "tls_cert", "", "`FILE` of the certificate, in PEM, to serve HTTPS with; read again when it changes")
	flags.StringVar(&a.tls.Key, "tls_key", "", "`FILE` of its key")
	flags.StringVar(&a.tls.ClientCA, "tls_client_ca", "", "`FILE` of the root certificates that clients must have certificates of")
	flags.StringVar(&a.usersFile, "users_file", "",
		"`FILE` of users, lines of user:role:bcrypt as brock useradd makes them; with it everything asks for a login")
	flags.StringVar(&a.jwtSecretFile, "jwt_secret_file", "",
		"`FILE` of 32 bytes or more that sign what a login gives; without it logins end with the alpha")
	flags.DurationVar(&a.accessTTL, "access_ttl", 6*time.Hour, "`TIME` that an access token of a login is good for")
	flags.DurationVar(&a.refreshTTL, "refresh_ttl", 30*24*time.Hour, "`TIME` that a refresh token of a login is good for")
	flags.StringVar(&a.auditLog, "audit_log", "",
		"`FILE` to which a line of JSON is added for all that is changed, sent, fetched or refused; opened anew at SIGHUP")
	flags.StringSliceVar(&a.corsOrigins, "cors_origin", nil,
		"`ORIGINS` of web pages of elsewhere that may use the alpha, such as https://ops.example; none otherwise")
	flags.Uint32Var(&a.requestMB, "request_mb", 64, "`MB` a request to /graphql may have")
	flags.Uint32Var(&a.requestsMB, "requests_mb", 256, "`MB` that the bodies of all requests may take at a time; more are refused")
	flags.Uint32Var(&a.connections, "max_connections", 1024, "`N` connections at a time")
	flags.DurationVar(&a.clientTimeout, "client_timeout", 2*time.Minute,
		"`TIME` that a client may neither send nor take anything in the middle of a request")
	flags.DurationVar(&a.idleTimeout, "idle_timeout", 2*time.Minute, "`TIME` that a connection may wait for its next request")
	flags.Uint32Var(&a.queryDepth, "query_depth", 20, "`N` fields that may be nested in a GraphQL query")
	flags.Uint32Var(&a.queryComplexity, "query_complexity", 100_000, "`N` fields that an answer may have, each list counted as ten")
	flags.BoolVar(&a.introspection, "introspection", true, "tell the GraphQL schemas, which GraphiQL needs")
	completeNothing(cmd, "whitelist", "auth_token", "access_ttl", "refresh_ttl", "cors_origin", "request_mb", "requests_mb", "max_connections",
		"client_timeout", "idle_timeout", "query_depth", "query_complexity")
}

// check refuses zeros that the packages below would take for their default.
func (a *accessFlags) check() error {
	for _, number := range []struct {
		flag string
		good bool
	}{
		{"request_mb", a.requestMB > 0}, {"requests_mb", a.requestsMB > 0}, {"max_connections", a.connections > 0},
		{"client_timeout", a.clientTimeout > 0}, {"idle_timeout", a.idleTimeout > 0},
		{"access_ttl", a.accessTTL > 0}, {"refresh_ttl", a.refreshTTL > 0},
		{"query_depth", a.queryDepth > 0}, {"query_complexity", a.queryComplexity > 0},
	} {
		if !number.good {
			return fault.New(fault.Usage, "use flag --"+number.flag, "it is not above 0")
		}
	}
	if a.requestsMB < 2*a.requestMB {
		return fault.New(fault.Usage, "use flag --requests_mb", "it is %d: one request of --request_mb %d takes up to twice its size",
			a.requestsMB, a.requestMB).WithHint("give --requests_mb %d or more", 2*a.requestMB)
	}
	return nil
}

// options makes them what a server understands. The audit log is open.
func (a *accessFlags) options() (graph.Options, error) {
	token, err := a.token()
	if err != nil {
		return graph.Options{}, err
	}
	users, err := a.users()
	if err != nil {
		return graph.Options{}, err
	}
	var log *audit.Log
	if a.auditLog != "" {
		if log, err = audit.Open(a.auditLog); err != nil {
			return graph.Options{}, err
		}
	}
	return graph.Options{
		Version: versionText(), Whitelist: a.whitelist, AuthToken: token, CORSOrigins: a.corsOrigins, TLS: a.tls,
		Users: users, Audit: log,
		DataBodyBytes: int64(a.requestMB) * mebibyte,
		Limits: graph.Limits{
			RequestsBytes: int64(a.requestsMB) * mebibyte, Connections: int(a.connections),
			ClientTimeout: a.clientTimeout, IdleTimeout: a.idleTimeout,
			QueryDepth: int(a.queryDepth), QueryComplexity: int(a.queryComplexity), NoIntrospection: !a.introspection,
		},
	}, nil
}

func (a *accessFlags) scheme() string {
	if a.tls.Cert != "" {
		return "https"
	}
	return "http"
}

func (a *accessFlags) token() (string, error) {
	if a.authTokenFile == "" {
		return a.authToken, nil
	}
	if a.authToken != "" {
		return "", fault.New(fault.Usage, "use flag --auth_token_file", "there is --auth_token as well").WithHint("give one of them")
	}
	token, err := readSecretFile("auth_token_file", a.authTokenFile)
	return string(token), err
}

// users returns nil when there is no file of them.
func (a *accessFlags) users() (*login.Users, error) {
	if a.usersFile == "" {
		if a.jwtSecretFile != "" {
			return nil, fault.New(fault.Usage, "use flag --jwt_secret_file", "there are no users").WithHint("give --users_file as well")
		}
		return nil, nil
	}
	o := login.Options{UsersFile: a.usersFile, AccessTTL: a.accessTTL, RefreshTTL: a.refreshTTL}
	if a.jwtSecretFile != "" {
		secret, err := readSecretFile("jwt_secret_file", a.jwtSecretFile)
		if err != nil {
			return nil, err
		}
		o.Secret = secret
	}
	return login.Open(o)
}

// reopenOnHangup opens the audit log anew at each SIGHUP, as what rotates logs
// expects. stop ends that.
func reopenOnHangup(log *audit.Log) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range signals {
			if err := log.Reopen(); err != nil {
				glog.Errorf("%v; it goes on in the old file", err)
				continue
			}
			glog.Info("the audit log is opened anew")
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-ended
	}
}

// readSecretFile returns what a file holds, without the blanks around it. An
// empty one is an error: it would take a protection away.
func readSecretFile(flag, name string) ([]byte, error) {
	op := "use flag --" + flag
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Usage, Op: op, Err: err}
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil, fault.New(fault.Usage, op, "%s is empty", name)
	}
	return text, nil
}

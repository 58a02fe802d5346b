package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/client"
	"github.com/brockdb/brock/graph/client/adminclient"
)

const defaultAlpha = "http://127.0.0.1:8080"

// remoteFlags are the flags of every command that asks a running alpha.
type remoteFlags struct {
	alpha         string
	authToken     string
	authTokenFile string
	accessToken   string
	caCert        string
	clientCert    string
	clientKey     string
	timeout       time.Duration
}

func (r *remoteFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&r.alpha, "alpha", defaultAlpha, "`URL` of the alpha")
	flags.StringVar(&r.authToken, "auth_token", "",
		"`TOKEN` that the alpha was started with; better set in the environment than where ps shows it")
	flags.StringVar(&r.authTokenFile, "auth_token_file", "", "`FILE` that holds the --auth_token")
	flags.StringVar(&r.accessToken, "access_token", "",
		"`JWT` of a login; empty means that of brock login, if there was one to this alpha")
	flags.StringVar(&r.caCert, "tls_ca_cert", "", "`FILE` of the authorities (PEM) that may vouch for the alpha; empty means the system's")
	flags.StringVar(&r.clientCert, "tls_client_cert", "", "`FILE` of the certificate (PEM) to show to the alpha")
	flags.StringVar(&r.clientKey, "tls_client_key", "", "`FILE` of that certificate's private key (PEM)")
	flags.DurationVar(&r.timeout, "timeout", 30*time.Second, "`TIME` that one answer of the alpha may take")
	completeNothing(cmd, "alpha", "auth_token", "access_token", "timeout")
}

// connect returns a client of the alpha, which is not asked for anything yet
// unless the token of a login has to be renewed.
func (r *remoteFlags) connect(ctx context.Context) (*client.Client, error) {
	alpha, err := r.connectAs(r.accessToken)
	if err != nil || r.accessToken != "" {
		return alpha, err
	}
	token, err := r.keptToken(ctx, alpha)
	if err != nil || token == "" {
		return alpha, err
	}
	alpha.Close()
	return r.connectAs(token)
}

// connectAs returns a client that sends an access token; "" is none.
func (r *remoteFlags) connectAs(token string) (*client.Client, error) {
	config, err := r.tls()
	if err != nil {
		return nil, err
	}
	if r.timeout <= 0 {
		return nil, fault.New(fault.Usage, "use flag --timeout", "it is not above 0")
	}
	authToken, err := r.token()
	if err != nil {
		return nil, err
	}
	return client.New(r.alpha, client.Options{AuthToken: authToken, AccessToken: token, TLS: config, Timeout: r.timeout})
}

func (r *remoteFlags) token() (string, error) {
	if r.authTokenFile == "" {
		return r.authToken, nil
	}
	if r.authToken != "" {
		return "", fault.New(fault.Usage, "use flag --auth_token_file", "there is --auth_token as well").WithHint("give one of them")
	}
	token, err := readSecretFile("auth_token_file", r.authTokenFile)
	return string(token), err
}

// admin connects to /admin. The function closes the connection.
func (r *remoteFlags) admin(ctx context.Context) (graphql.Client, func(), error) {
	alpha, err := r.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return adminclient.New(alpha), alpha.Close, nil
}

// forCompletion is admin while a line is completed, when nothing has looked at
// the environment and the configuration file yet.
func (r *remoteFlags) forCompletion(cmd *cobra.Command) (graphql.Client, func(), error) {
	if err := cmd.PreRunE(cmd, nil); err != nil {
		return nil, nil, err
	}
	return r.admin(cmd.Context())
}

// tls returns nil where the system's defaults do.
func (r *remoteFlags) tls() (*tls.Config, error) {
	if (r.clientCert == "") != (r.clientKey == "") {
		return nil, fault.New(fault.Usage, "use a client certificate", "--tls_client_cert and --tls_client_key go together")
	}
	if r.caCert == "" && r.clientCert == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.caCert != "" {
		authorities, err := os.ReadFile(r.caCert)
		if err != nil {
			return nil, fault.Wrap(err, "read authorities of --tls_ca_cert")
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, fault.New(fault.Usage, "read authorities of --tls_ca_cert "+r.caCert, "it holds no certificate in PEM form")
		}
	}
	if r.clientCert != "" {
		pair, err := tls.LoadX509KeyPair(r.clientCert, r.clientKey)
		if err != nil {
			return nil, fault.New(fault.Usage, "read client certificate "+r.clientCert, "%w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

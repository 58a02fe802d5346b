package vault

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/brockdb/brock/backup/fault"
)

// lease is how long a token lives.
type lease struct {
	ttl       time.Duration // 0 means for ever
	renewable bool
}

// login gets a token, or takes the one that was given.
func (c *Client) login(ctx context.Context) (lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.options
	switch {
	case o.RoleIDFile != "":
		return c.loginAppRole(ctx)
	case o.KubernetesRole != "":
		return c.loginKubernetes(ctx)
	case o.TokenFile != "":
		token, err := readTrimmed("token", o.TokenFile)
		if err != nil {
			return lease{}, err
		}
		c.api.SetToken(token)
	case c.api.Token() == "":
		return lease{}, failed(stepLogin, fault.Usage,
			"give --vault_roleid_file and --vault_secretid_file, --vault_token_file, --vault_kubernetes_role, or VAULT_TOKEN", "no way to log in is given")
	}
	return c.lookUp(ctx)
}

func (c *Client) loginAppRole(ctx context.Context) (lease, error) {
	role, err := readTrimmed("role id", c.options.RoleIDFile)
	if err != nil {
		return lease{}, err
	}
	data := map[string]any{"role_id": role}
	if c.options.SecretIDFile != "" {
		secret, err := readTrimmed("secret id", c.options.SecretIDFile)
		if err != nil {
			return lease{}, err
		}
		data["secret_id"] = secret
	}
	return c.loginWith(ctx, "approle", data)
}

func (c *Client) loginKubernetes(ctx context.Context) (lease, error) {
	file := c.options.KubernetesTokenFile
	if file == "" {
		file = KubernetesToken
	}
	token, err := readTrimmed("service account token", file)
	if err != nil {
		return lease{}, err
	}
	return c.loginWith(ctx, "kubernetes", map[string]any{"role": c.options.KubernetesRole, "jwt": token})
}

// loginWith logs in at a method. The login itself carries no token.
func (c *Client) loginWith(ctx context.Context, method string, data map[string]any) (lease, error) {
	mount := strings.Trim(c.options.AuthMount, "/")
	if mount == "" {
		mount = method
	}
	old := c.api.Token()
	c.api.ClearToken()
	secret, err := c.api.Logical().WriteWithContext(ctx, "auth/"+mount+"/login", data)
	if err == nil && (secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "") {
		err = failed(stepLogin, fault.Other, "check --vault_auth_mount", "it answers without a token")
	}
	if err != nil {
		c.api.SetToken(old) // which may live a while yet
		return lease{}, classify(err, stepLogin)
	}
	c.api.SetToken(secret.Auth.ClientToken)
	c.owned = true
	return lease{time.Duration(secret.Auth.LeaseDuration) * time.Second, secret.Auth.Renewable}, nil
}

// lookUp asks how long a token that was given lives. A token that may not ask
// may be good all the same.
func (c *Client) lookUp(ctx context.Context) (lease, error) {
	secret, err := c.api.Auth().Token().LookupSelfWithContext(ctx)
	var answer *api.ResponseError
	if c.doubtful = errors.As(err, &answer) && answer.StatusCode == 403; c.doubtful {
		return lease{}, nil
	}
	if err != nil {
		return lease{}, classify(err, stepLogin)
	}
	return leaseOf(secret)
}

// renew makes the token live longer.
func (c *Client) renew(ctx context.Context) (lease, error) {
	secret, err := c.api.Auth().Token().RenewSelfWithContext(ctx, 0)
	if err != nil {
		return lease{}, classify(err, stepLogin)
	}
	return leaseOf(secret)
}

func leaseOf(secret *api.Secret) (lease, error) {
	ttl, err := secret.TokenTTL()
	if err != nil {
		return lease{}, failed(stepLogin, fault.Other, "", "it does not say how long the token lives")
	}
	renewable, err := secret.TokenIsRenewable()
	if err != nil {
		return lease{}, failed(stepLogin, fault.Other, "", "it does not say whether the token can be renewed")
	}
	return lease{ttl, renewable}, nil
}

// readTrimmed reads a small file without the white space at its ends.
func readTrimmed(what, path string) (string, error) {
	const most = 64 << 10
	info, err := os.Stat(path)
	if err == nil && (info.IsDir() || info.Size() > most) {
		err = errors.New("it is not a small file")
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return "", failed(stepLogin, fault.Usage, "", "the %s cannot be read from %s: %w", what, path, err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", failed(stepLogin, fault.Usage, "", "there is no %s in %s", what, path)
	}
	return text, nil
}

package main

import (
	"context"

	"github.com/golang/glog"
	"github.com/spf13/cobra"

	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/ee/vault"
	"github.com/brockdb/brock/worker"
)

// alphaKeys are the flags of the keys of an alpha, which stays logged in to
// Vault.
type alphaKeys struct {
	keyFlags
	atRest atRestFlags
	allow  []string
}

func (k *alphaKeys) add(cmd *cobra.Command) {
	k.addWriting(cmd)
	cmd.Flags().StringSliceVar(&k.allow, "vault_allow", nil,
		"`URLS` of further Vaults that a request to /admin may name, with role files of its own")
	completeNothing(cmd, "vault_allow")
	k.atRest.add(cmd, "the database directory")
}

// heldKeys are the keys of an alpha while it runs.
type heldKeys struct {
	ring   ee.KeyRing
	atRest ee.Key
	vault  worker.VaultOptions
	end    func() // logs out
}

// hold takes the keys, and keeps the login to Vault alive until end.
func (k *alphaKeys) hold(ctx context.Context) (*heldKeys, error) {
	atRest, err := k.atRest.key(ctx, &k.vault)
	if err != nil {
		return nil, err
	}
	ring, client, err := k.open(ctx, logVault)
	if err != nil {
		return nil, err
	}
	o := &k.vault.options
	held := &heldKeys{ring: ring, atRest: atRest, end: func() {}, vault: worker.VaultOptions{
		Client: client, Secret: k.vault.secret(), Allow: k.allow, Timeout: o.Timeout,
		Files: []string{o.RoleIDFile, o.SecretIDFile, o.TokenFile, o.KubernetesTokenFile, vault.KubernetesToken},
	}}
	if client != nil {
		held.end = keepLoggedIn(ctx, client)
	}
	return held, nil
}

// keepLoggedIn returns what ends it. It goes on while a canceled alpha ends.
func keepLoggedIn(ctx context.Context, client *vault.Client) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		client.Keep(ctx)
		close(done)
	}()
	return func() {
		cancel()
		<-done
		client.Close()
	}
}

func logVault(event string, err error) {
	if err != nil {
		glog.Warningf("Vault: %s: %v", event, err)
		return
	}
	glog.Infof("Vault: %s", event)
}

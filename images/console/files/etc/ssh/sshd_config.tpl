# Put after Port, ListenAddress, HostKey and PasswordAuthentication in /etc/ssh/sshd_config, which is written at each start of
# sshd (H3-002, D4-008).
PermitRootLogin no
AllowGroups docker
MaxAuthTries 4
ClientAliveInterval 180
AllowTcpForwarding no
UseDNS no
PrintMotd no
UsePAM yes
KbdInteractiveAuthentication no
X11Forwarding no
Subsystem sftp internal-sftp
KexAlgorithms mlkem768x25519-sha256,sntrup761x25519-sha512,curve25519-sha256,curve25519-sha256@libssh.org
Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr
MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com
AcceptEnv LANG LC_*
